// SPDX-License-Identifier: Apache-2.0
#include "core/base/error_reason.h"

#include <cstddef>
#include <iterator>

namespace rwkvd {
namespace {

using enum ErrorReason;
using Code = absl::StatusCode;

constexpr ErrorReasonInfo kReasons[] = {
    {kFieldInvalid, "FIELD_INVALID", Code::kInvalidArgument,
     "A field has a value that is not allowed.",
     "Fix the field that BadRequest names."},
    {kFieldsConflict, "FIELDS_CONFLICT", Code::kInvalidArgument,
     "Fields exclude each other.", "Leave the named field out."},
    {kFieldNotUtf8, "FIELD_NOT_UTF8", Code::kInvalidArgument,
     "A field of type string is not valid UTF-8.",
     "Cut texts between characters, or use the field of type bytes."},
    {kMessageMalformed, "MESSAGE_MALFORMED", Code::kInvalidArgument,
     "The bytes are not a message of the type that the method expects.",
     "Generate the client from the contract of this server."},
    {kTooManyTokens, "TOO_MANY_TOKENS", Code::kInvalidArgument,
     "A text has more tokens than the server accepts.",
     "Shorten the text to `limit` tokens, which ErrorInfo has."},
    {kTextNotEncodable, "TEXT_NOT_ENCODABLE", Code::kInvalidArgument,
     "The tokenizer has no token for a byte, or cannot split a long word.",
     "Remove the byte, which never occurs in UTF-8, or add spaces."},
    {kNoTokenizer, "NO_TOKENIZER", Code::kInvalidArgument,
     "The model has no tokenizer.", "Send token ids, and stop tokens."},
    {kRequestTooLarge, "REQUEST_TOO_LARGE", Code::kInvalidArgument,
     "The request alone takes more tokens or memory than one request may.",
     "Request fewer samples or tokens."},
    {kResponseTooLarge, "RESPONSE_TOO_LARGE", Code::kInvalidArgument,
     "The response could be larger than the client or the server accepts.",
     "Send the request in parts, do without the details of each token, or set "
     "`stream`."},
    {kInitialStateUnknown, "INITIAL_STATE_UNKNOWN", Code::kInvalidArgument,
     "The server has no initial state of this name.",
     "Choose one of `initial_states` in the answer to GetModel."},
    {kStateInvalid, "STATE_INVALID", Code::kInvalidArgument,
     "The bytes are not an undamaged state that this server understands.",
     "Send the bytes as a server returned them."},
    {kStateNotResumable, "STATE_NOT_RESUMABLE", Code::kInvalidArgument,
     "The state does not belong to a suspended request like this one.",
     "Repeat the request's fields, or continue without `resume`."},
    {kStateNotFinite, "STATE_NOT_FINITE", Code::kInvalidArgument,
     "The model predicts numbers that are not finite after this state.",
     "Start from another state."},
    {kStateCacheDisabled, "STATE_CACHE_DISABLED", Code::kInvalidArgument,
     "The server has no state cache, so it cannot pin a prefix.",
     "Leave `pin` out."},

    {kStateOfOtherModel, "STATE_OF_OTHER_MODEL", Code::kFailedPrecondition,
     "The state belongs to another model.",
     "Use a server whose GetModel has the same `fingerprint`."},
    {kHandlesNotDurable, "HANDLES_NOT_DURABLE", Code::kFailedPrecondition,
     "Handles of this server become invalid when it stops.",
     "Ask for the state itself, without `as_handle`."},
    {kNoChatTemplate, "NO_CHAT_TEMPLATE", Code::kFailedPrecondition,
     "The server knows no chat template for the model.",
     "Name one in `chat_template`, or tell the operator: --chat_template."},

    {kModelNotFound, "MODEL_NOT_FOUND", Code::kNotFound,
     "The server does not serve the model that the request names.",
     "Use a server of that model, or leave `model` out."},
    {kStateNotFound, "STATE_NOT_FOUND", Code::kNotFound,
     "The server has no state with this handle.",
     "Send the text again, or put the state."},
    {kStateExpired, "STATE_EXPIRED", Code::kNotFound,
     "The state with this handle has expired.",
     "Send the text again; ask for a longer `ttl_seconds`."},
    {kPinNotFound, "PIN_NOT_FOUND", Code::kNotFound,
     "No prefix is pinned under this name.", "Nothing: it is not pinned."},
    {kServiceNotFound, "SERVICE_NOT_FOUND", Code::kNotFound,
     "The server has no service of this name.",
     "Check the health of \"\" or of rwkv.v1.RwkvService."},
    {kChannelzEntityNotFound, "CHANNELZ_ENTITY_NOT_FOUND", Code::kNotFound,
     "There is no server, socket, channel or subchannel with this id.",
     "List them again: it may have ended."},

    {kCredentialMissing, "CREDENTIAL_MISSING", Code::kUnauthenticated,
     "The call has neither a token nor a client certificate.",
     "Send the metadata `authorization: Bearer TOKEN`."},
    {kCredentialUnknown, "CREDENTIAL_UNKNOWN", Code::kUnauthenticated,
     "The token or certificate belongs to nobody whom the server knows.",
     "Use a current token; ask the operator for one."},

    {kRoleMissing, "ROLE_MISSING", Code::kPermissionDenied,
     "The caller does not have the role that the call needs.",
     "Ask the operator for the `role` that ErrorInfo has."},

    {kQueueFull, "QUEUE_FULL", Code::kResourceExhausted,
     "All slots and all places in the queue are in use.",
     "Retry after `retry_delay`, or with another server."},
    {kQueueTimeExceeded, "QUEUE_TIME_EXCEEDED", Code::kResourceExhausted,
     "The request has waited in the queue for too long.",
     "Retry after `retry_delay`, or with another server."},
    {kTotalTokensExceeded, "TOTAL_TOKENS_EXCEEDED", Code::kResourceExhausted,
     "The requests of all clients have too many tokens together.",
     "Retry after `retry_delay`, or with another server."},
    {kRequestMemoryExhausted, "REQUEST_MEMORY_EXHAUSTED",
     Code::kResourceExhausted,
     "The requests of all clients take the memory that they may take.",
     "Retry after `retry_delay`, or with another server."},
    {kParseQueueFull, "PARSE_QUEUE_FULL", Code::kResourceExhausted,
     "Too many messages wait to be parsed.",
     "Retry after `retry_delay`, or with another server."},
    {kTooManyTransfers, "TOO_MANY_TRANSFERS", Code::kResourceExhausted,
     "Too many states are being sent or received.",
     "Retry after `retry_delay`."},
    {kTooManyDocuments, "TOO_MANY_DOCUMENTS", Code::kResourceExhausted,
     "Too many documents are being scored.", "Retry after `retry_delay`."},
    {kResponseMemoryExhausted, "RESPONSE_MEMORY_EXHAUSTED",
     Code::kResourceExhausted,
     "Responses that clients have not read take the memory for responses.",
     "Read responses; retry after `retry_delay`."},
    {kPendingStatesExhausted, "PENDING_STATES_EXHAUSTED",
     Code::kResourceExhausted,
     "The states of waiting requests take the memory for them.",
     "Retry after `retry_delay`."},
    {kStateStoreFull, "STATE_STORE_FULL", Code::kResourceExhausted,
     "The state store has no room.",
     "Delete states, ask for shorter `ttl_seconds`, or retry after "
     "`retry_delay`."},
    {kQuotaExceeded, "QUOTA_EXCEEDED", Code::kResourceExhausted,
     "The caller has reached one of its own limits, which QuotaFailure names.",
     "Retry after `retry_delay`."},
    {kStateDiskFull, "STATE_DISK_FULL", Code::kResourceExhausted,
     "The server's disk for states is full.", "Retry after `retry_delay`."},

    {kMessageExceedsMemory, "MESSAGE_EXCEEDS_MEMORY", Code::kResourceExhausted,
     "The request takes more memory than all requests, or those of the caller, "
     "may take.",
     "Send less in one request."},
    {kResponseExceedsMemory, "RESPONSE_EXCEEDS_MEMORY",
     Code::kResourceExhausted,
     "The response could take more memory than all responses, or those of the "
     "caller, may take.",
     "Request less at a time."},
    {kListTooLong, "LIST_TOO_LONG", Code::kResourceExhausted,
     "The answer has more than the 4 MiB that clients accept by default.",
     "Unpin prefixes; the operator may configure fewer initial states."},
    {kPinsExhausted, "PINS_EXHAUSTED", Code::kResourceExhausted,
     "The server has no room for another pinned prefix.",
     "Unpin a prefix, or leave `pin` out."},
    {kSamplesTooLong, "SAMPLES_TOO_LONG", Code::kResourceExhausted,
     "The samples of a request with `best_of` are too long to be kept.",
     "Request fewer or shorter samples."},
    {kClientTooSlow, "CLIENT_TOO_SLOW", Code::kResourceExhausted,
     "The client has left too much of the response unread, or for too long.",
     "Read faster, or request less at a time."},
    {kStreamSlotLost, "STREAM_SLOT_LOST", Code::kResourceExhausted,
     "The client kept its stream waiting while others needed the slot.",
     "Begin again, and send or read without pauses."},
    {kTooManyWatches, "TOO_MANY_WATCHES", Code::kResourceExhausted,
     "Too many Watch calls of the health service are open.", "Use Check."},
    {kTooManyReflectionStreams, "TOO_MANY_REFLECTION_STREAMS",
     Code::kResourceExhausted,
     "Too many reflection streams are open, and this one was idle.",
     "Open a new stream."},
    {kOutOfMemory, "OUT_OF_MEMORY", Code::kResourceExhausted,
     "The operating system refuses memory, a thread or another resource.",
     "Retry with another server."},

    {kModelLoading, "MODEL_LOADING", Code::kUnavailable,
     "The server is loading its model.",
     "Retry after `retry_delay`, or with another server."},
    {kServerShuttingDown, "SERVER_SHUTTING_DOWN", Code::kUnavailable,
     "The server is shutting down.",
     "Retry after `retry_delay`, with another server."},
    {kStateDiskFailed, "STATE_DISK_FAILED", Code::kUnavailable,
     "The server's disk for states has failed.", "Use another server."},
    {kStateStoreFailed, "STATE_STORE_FAILED", Code::kUnavailable,
     "The server cannot use the store that keeps states for all servers.",
     "Retry after `retry_delay`; without the state, send the text again."},

    {kDeadlinePassed, "DEADLINE_PASSED", Code::kDeadlineExceeded,
     "The deadline of the call has passed.", "Set a later deadline."},
    {kDeadlineUnreachable, "DEADLINE_UNREACHABLE", Code::kDeadlineExceeded,
     "The deadline would pass before the end of the prefill; nothing was "
     "computed.",
     "Set a later deadline, or use another server."},
    {kClientIdle, "CLIENT_IDLE", Code::kDeadlineExceeded,
     "The client has not sent the next message of its stream in time.",
     "Begin again, and send without pauses."},

    {kCancelled, "CANCELLED", Code::kCancelled,
     "The client has cancelled the call, or is gone.", "Nothing."},

    {kMethodUnknown, "METHOD_UNKNOWN", Code::kUnimplemented,
     "The server has no method of this name.",
     "Generate the client from the contract of this server."},

    {kSavedStateDamaged, "SAVED_STATE_DAMAGED", Code::kDataLoss,
     "The server's copy of the state is damaged.",
     "Delete the state, and send the text again."},

    {kModelNotFinite, "MODEL_NOT_FINITE", Code::kInternal,
     "The model predicts numbers that are not finite, or its state has them.",
     "Tell the operator: the weights may be damaged."},
    {kModelFilesChanged, "MODEL_FILES_CHANGED", Code::kInternal,
     "The files of the model were changed while they were served.",
     "Use another server; this one ends."},
    {kInternalError, "INTERNAL_ERROR", Code::kInternal,
     "The server has met something unexpected.", "Tell the operator."},
};

constexpr bool IsInOrder() {
  for (size_t i = 0; i < std::size(kReasons); ++i) {
    if (static_cast<size_t>(kReasons[i].reason) != i) return false;
  }
  return static_cast<size_t>(kInternalError) + 1 == std::size(kReasons);
}

static_assert(IsInOrder(), "the table lists every ErrorReason, in its order");

}  // namespace

absl::Span<const ErrorReasonInfo> AllErrorReasons() { return kReasons; }

const ErrorReasonInfo& InfoOf(ErrorReason reason) {
  return kReasons[static_cast<size_t>(reason)];
}

std::optional<ErrorReason> FindErrorReason(absl::string_view name) {
  for (const ErrorReasonInfo& info : kReasons) {
    if (info.name == name) return info.reason;
  }
  return std::nullopt;
}

}  // namespace rwkvd
