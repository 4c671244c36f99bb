// SPDX-License-Identifier: Apache-2.0
#include "cli/grpc_status.h"

#include <grpc/support/time.h>

#include <cstddef>
#include <iterator>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

// gRPC sends at most 8 KiB of headers, and a message may quote text of a
// client.
constexpr size_t kMaxMessageBytes = 2048;

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

// The first bytes of `text`, at most `limit`, without an incomplete UTF-8
// character at the end.
std::string Cut(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return std::string(text);
  while (limit > 0 && (text[limit] & 0xC0) == 0x80) --limit;
  return std::string(text.substr(0, limit));
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // Abseil and gRPC use the same numbers.
  const auto code = static_cast<grpc::StatusCode>(status.code());
  return grpc::Status(code, Cut(status.message(), kMaxMessageBytes));
}

grpc::Status EndStatus(const absl::Status& engine_status,
                       const grpc::ServerContextBase& context) {
  // Not deadline(), which converts to the system's clock and may overflow.
  const gpr_timespec deadline = context.raw_deadline();
  if (engine_status.code() == absl::StatusCode::kCancelled &&
      gpr_time_cmp(deadline, gpr_now(deadline.clock_type)) <= 0) {
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                        "the deadline has passed");
  }
  return ToGrpcStatus(engine_status);
}

const char* NameOf(grpc::StatusCode code) {
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

}  // namespace rwkvd
