// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_ERROR_REASON_H_
#define RWKVD_CORE_BASE_ERROR_REASON_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// Why a call failed, for programs. docs/errors.md lists the reasons in the same
// order.
enum class ErrorReason {
  // INVALID_ARGUMENT
  kFieldInvalid,
  kFieldsConflict,
  kFieldNotUtf8,
  kMessageMalformed,
  kTooManyTokens,
  kTextNotEncodable,
  kNoTokenizer,
  kRequestTooLarge,
  kResponseTooLarge,
  kInitialStateUnknown,
  kStateInvalid,
  kStateNotResumable,
  kStateNotFinite,
  kStateCacheDisabled,
  // FAILED_PRECONDITION
  kStateOfOtherModel,
  kHandlesNotDurable,
  kNoChatTemplate,
  // NOT_FOUND
  kModelNotFound,
  kStateNotFound,
  kStateExpired,
  kPinNotFound,
  kServiceNotFound,
  kChannelzEntityNotFound,
  // UNAUTHENTICATED
  kCredentialMissing,
  kCredentialUnknown,
  // PERMISSION_DENIED
  kRoleMissing,
  // RESOURCE_EXHAUSTED, with a time after which a retry is worthwhile
  kQueueFull,
  kQueueTimeExceeded,
  kTotalTokensExceeded,
  kRequestMemoryExhausted,
  kParseQueueFull,
  kTooManyTransfers,
  kTooManyDocuments,
  kResponseMemoryExhausted,
  kPendingStatesExhausted,
  kStateStoreFull,
  kQuotaExceeded,
  kStateDiskFull,
  // RESOURCE_EXHAUSTED
  kMessageExceedsMemory,
  kResponseExceedsMemory,
  kListTooLong,
  kPinsExhausted,
  kSamplesTooLong,
  kClientTooSlow,
  kStreamSlotLost,
  kTooManyWatches,
  kTooManyReflectionStreams,
  kOutOfMemory,
  // UNAVAILABLE
  kModelLoading,
  kServerShuttingDown,
  kStateDiskFailed,
  kStateStoreFailed,
  // DEADLINE_EXCEEDED
  kDeadlinePassed,
  kDeadlineUnreachable,
  kClientIdle,
  // CANCELLED
  kCancelled,
  // UNIMPLEMENTED
  kMethodUnknown,
  // DATA_LOSS
  kSavedStateDamaged,
  // INTERNAL
  kModelNotFinite,
  kModelFilesChanged,
  kInternalError,
};

// The description of one reason, for clients. A value.
struct ErrorReasonInfo {
  ErrorReason reason;
  // On the wire. Programs compare it, so it never changes.
  absl::string_view name;
  absl::StatusCode code;
  // Whole sentences, for docs/errors.md.
  absl::string_view meaning;
  absl::string_view what_to_do;
};

// All reasons, in the order of ErrorReason.
absl::Span<const ErrorReasonInfo> AllErrorReasons();

const ErrorReasonInfo& InfoOf(ErrorReason reason);

// The reason with this name, if there is one.
std::optional<ErrorReason> FindErrorReason(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_ERROR_REASON_H_
