// SPDX-License-Identifier: Apache-2.0
#include "service/calls/monitored_call.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "service/calls/admission.h"
#include "service/calls/call_monitor.h"
#include "service/calls/response_bytes.h"
#include "service/convert/response_size.h"

namespace rwkvd {
MonitoredCall::MonitoredCall(CallMonitor* monitor,
                             grpc::CallbackServerContext* context,
                             std::shared_ptr<ByteBudget> share)
    : monitor_(monitor),
      call_context_(context),
      account_(std::make_shared<ResponseAccount>(monitor->budget_,
                                                 std::move(share))) {
  monitor_->Add(this);
}

void MonitoredCall::StartWait(bool to_read) {
  waits_to_read_.store(to_read, std::memory_order_relaxed);
  waits_since_.store(CallMonitor::Now(), std::memory_order_release);
}

absl::Status MonitoredCall::SetAnswer(const google::protobuf::Message& answer,
                                      grpc::ByteBuffer* bytes) {
  const auto size = static_cast<int64_t>(answer.ByteSizeLong());
  if (size > kDefaultMaxResponseBytes) {
    return MakeError(
        ErrorReason::kListTooLong,
        absl::StrCat("the answer has ", size, " bytes, more than the ",
                     kDefaultMaxResponseBytes,
                     " that clients accept by default"));
  }
  const int64_t memory = ChargeFor(answer);
  std::optional<ResponseCharge> charge = monitor_->TryCharge(this, memory);
  if (!charge.has_value()) {
    const absl::Status error = monitor_->OutOfMemory(*this, memory);
    monitor_->MakeRoom(*this, memory);
    return error;
  }
  *bytes = ToByteBuffer(answer, *std::move(charge));
  return absl::OkStatus();
}

void MonitoredCall::Done() {
  monitor_->Remove(this);
  Unref();
}

grpc::Status MonitoredCall::FinalStatus(const grpc::Status& status) const {
  if (stage_ == Stage::kReset) {
    return ToGrpcStatus(monitor_->StatusFor(reason_, *this));
  }
  // The client is gone, or gRPC has ended the call with an error of its own,
  // such as that for a message that is too large.
  if (status.ok() && call_context_->IsCancelled()) {
    return ToGrpcStatus(CallCancelled());
  }
  return status;
}

}  // namespace rwkvd
