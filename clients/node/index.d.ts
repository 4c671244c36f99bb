// SPDX-License-Identifier: Apache-2.0
import * as grpc from '@grpc/grpc-js';
import type {ProtoGrpcType} from './types/rwkv';
import type {Finish__Output} from './types/rwkv/v1/Finish';
import type {GenerateRequest} from './types/rwkv/v1/GenerateRequest';
import type {GenerateResponse__Output} from './types/rwkv/v1/GenerateResponse';
import type {RwkvServiceClient} from './types/rwkv/v1/RwkvService';

export * from './errors';
export {grpc};

/** The client of the contract, without retries. */
export const RwkvService: ProtoGrpcType['rwkv']['v1']['RwkvService'];

export type {GenerateRequest, GenerateResponse__Output, RwkvServiceClient};

/** The methods of the contract with one request and one response. */
export type UnaryMethod = 'Tokenize' | 'Detokenize' | 'Score' | 'UnpinPrefix' |
    'ListPinnedPrefixes' | 'DeleteState' | 'GetModel' | 'GetServerInfo' |
    'GetLoad';

type RequestOf<Method extends UnaryMethod> =
    Parameters<RwkvServiceClient[Method]>[0];
type ResponseOf<Method extends UnaryMethod> =
    Parameters<RwkvServiceClient[Method]> extends [
      ...unknown[], grpc.requestCallback<infer Response>
    ] ? Response : never;

export interface ClientOptions {
  /** Default: no TLS. */
  credentials?: grpc.ChannelCredentials;
  channelOptions?: grpc.ChannelOptions;
  /** How many times a request is sent at most. Default: 6. */
  maxAttempts?: number;
  /** How long a generation that is to resume waits for a server. Default: 60000. */
  resumeWithinMs?: number;
  /** For servers with --auth_tokens. Send it through TLS only. */
  token?: string | null;
}

export interface GenerateOptions {
  /** The time for the whole generation. Default: no limit. */
  timeoutMs?: number;
  /**
   * The server suspends the request when it shuts down, and this client resumes
   * it on the server that the channel then connects to, which must serve the
   * same model. No token is lost or repeated. Only for one sample.
   */
  resume?: boolean;
}

/**
 * The responses of a Generate call, in order. Iterate over it once; leaving the
 * iteration ends the call.
 */
export interface Generation extends AsyncIterable<GenerateResponse__Output> {
  /** The finish of the last sample, once it has arrived. */
  readonly finish: Finish__Output | null;
  /**
   * Ends the generation; the server frees its slot at once. The iteration then
   * ends with the status CANCELLED.
   */
  cancel(): void;
}

/** A connection to rwkvd. */
export class Client {
  /** `target` is an address such as "127.0.0.1:50051". */
  constructor(target: string, options?: ClientOptions);
  readonly stub: RwkvServiceClient;
  /** Closes the channel. */
  close(): void;
  /** Continues a prompt. */
  generate(request: GenerateRequest, options?: GenerateOptions): Generation;
  /**
   * Makes a unary call, and sends the request again if the server is overloaded
   * or not ready.
   */
  call<Method extends UnaryMethod>(
      method: Method, request: RequestOf<Method>,
      options?: {timeoutMs?: number}): Promise<ResponseOf<Method>>;
}
