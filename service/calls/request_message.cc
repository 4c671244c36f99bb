// SPDX-License-Identifier: Apache-2.0
#include "service/calls/request_message.h"

#include <grpcpp/support/slice.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/exceptions.h"
#include "core/base/status_macros.h"
#include "service/convert/message_check.h"
#include "service/convert/model_check.h"
#include "service/convert/request_memory.h"

namespace rwkvd {
namespace {

absl::StatusOr<std::string> JoinedBytes(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  if (!message.Dump(&slices).ok()) {
    return MakeError(ErrorReason::kInternalError,
                     "gRPC cannot read the message that it got");
  }
  std::string bytes;
  bytes.reserve(message.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

absl::StatusOr<RequestMessage> RequestMessage::Take(
    const grpc::ByteBuffer* message, const CallEnvironment& environment) {
  if (!message->Valid()) {
    return MakeError(ErrorReason::kCancelled,
                     "the call ended before its message arrived");
  }
  ByteBudget& budget = environment.budgets->requests;
  const auto size = static_cast<int64_t>(message->Length());
  ByteBudget* const share = environment.caller.message_bytes();
  std::optional<ByteBudget::Reservation> reservation =
      budget.Reserve(size, share);
  if (!reservation.has_value()) {
    environment.metrics->MessageRefused(MessageRefusal::kMemory);
    return OutOfRequestMemory(size, budget, share);
  }
  RequestMessage taken(*std::move(reservation), environment);
  taken.size_ = size;
  RWKVD_ASSIGN_OR_RETURN(
      taken.bytes_, CatchExceptions([&] { return JoinedBytes(*message); }));
  // gRPC's object is not const, and gRPC does not read it any more. It lives
  // until the call ends, but its bytes need not.
  const_cast<grpc::ByteBuffer*>(message)->Clear();
  return taken;
}

absl::Status RequestMessage::ParseInto(google::protobuf::Message* proto) {
  const std::string bytes = std::exchange(bytes_, {});
  return CatchExceptions([&] { return Parse(bytes, proto); });
}

absl::Status RequestMessage::Parse(absl::string_view bytes,
                                   google::protobuf::Message* proto) {
  const MessageCheck check =
      CheckMessage(*proto->GetDescriptor(), bytes, budget_->limit());
  if (!check.status.ok()) {
    metrics_->MessageRefused(check.not_utf8 ? MessageRefusal::kNotUtf8
                                            : MessageRefusal::kMalformed);
    return check.status;
  }
  RWKVD_RETURN_IF_ERROR(Reserve(size_ + check.memory));
  if (!proto->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    metrics_->MessageRefused(MessageRefusal::kMalformed);
    return MakeError(
        ErrorReason::kMessageMalformed,
        absl::StrCat("the message is not a ", proto->GetTypeName()));
  }
  reservation_.Resize(check.memory);
  if (model_ == nullptr) return absl::OkStatus();
  return CheckRequestedModel(*proto, model_->name);
}

absl::Status RequestMessage::Counted(absl::Status status) const {
  if (status.code() == absl::StatusCode::kResourceExhausted) {
    metrics_->MessageRefused(MessageRefusal::kMemory);
  }
  return status;
}

absl::Status RequestMessage::Reserve(int64_t bytes) {
  return Counted(ReserveMore(&reservation_, bytes - reservation_.bytes()));
}

}  // namespace rwkvd
