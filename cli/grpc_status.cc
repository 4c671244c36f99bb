// SPDX-License-Identifier: Apache-2.0
#include "cli/grpc_status.h"

#include <grpc/support/time.h>
#include <grpcpp/support/error_details.h>

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/error_details.h"
#include "core/base/error.h"
#include "core/base/quote.h"
#include "core/base/retry_after.h"
#include "core/base/utf8.h"

namespace rwkvd {
namespace {

// gRPC accepts 8 KiB of trailing metadata, and a message may quote text of a
// client. On the wire, each byte of the message may take three, and the details
// repeat it.
constexpr size_t kMaxMessageBytes = 1024;

constexpr const char* kNames[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The details are a message of protobuf, whose strings must be UTF-8.
  const bool is_utf8 =
      ValidUtf8Length(status.message()) == status.message().size();
  const std::string whole =
      is_utf8 ? std::string(status.message()) : OneLine(status.message());
  const absl::string_view message = CutUtf8(whole, kMaxMessageBytes);
  grpc::Status result;
  // Abseil and gRPC use the same numbers of codes.
  grpc::SetErrorDetails(ErrorDetails(WithMessage(status, message), message),
                        &result);
  return result;
}

grpc::Status EndStatus(const absl::Status& status,
                       grpc::ServerContextBase* context) {
  const std::optional<absl::Duration> pause = RetryAfter(status);
  if (pause.has_value()) {
    context->AddTrailingMetadata(
        kRetryPushback, absl::StrCat(absl::ToInt64Milliseconds(*pause)));
  }
  // Not deadline(), which converts to the system's clock and may overflow.
  const gpr_timespec deadline = context->raw_deadline();
  if (status.code() == absl::StatusCode::kCancelled &&
      gpr_time_cmp(deadline, gpr_now(deadline.clock_type)) <= 0) {
    return ToGrpcStatus(
        MakeError(ErrorReason::kDeadlinePassed, "the deadline has passed"));
  }
  return ToGrpcStatus(status);
}

const char* NameOf(grpc::StatusCode code) {
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

}  // namespace rwkvd
