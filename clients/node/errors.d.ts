// SPDX-License-Identifier: Apache-2.0
/** The details of an error; empty where the server has sent none. */
export interface ErrorDetails {
  /** Such as "QUEUE_FULL"; stable, unlike the message. */
  reason: string;
  domain: string;
  metadata: Record<string, string>;
  /** Fields of the request that are wrong, with their paths. */
  fieldViolations: {field: string, description: string}[];
  /** The limit that was reached, such as "max_queued". */
  quota: string;
  /** What an error NOT_FOUND is about. */
  resourceType: string;
  resourceName: string;
  /**
   * The milliseconds after which the server wants the request again. null if it
   * did not say; negative if it does not want it again.
   */
  retryDelayMs: number | null;
}

/** Decodes the details of an error of a call. */
export function detailsOf(error: unknown): ErrorDetails;
