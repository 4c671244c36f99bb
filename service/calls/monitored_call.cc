// SPDX-License-Identifier: Apache-2.0
#include "service/calls/monitored_call.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "service/calls/admission.h"
#include "service/calls/call_monitor.h"
#include "service/calls/response_bytes.h"
#include "service/convert/response_size.h"
#include "service/memory_budgets.h"

namespace rwkvd {
namespace {

// When a client should retry if clients have not read too many answers.
constexpr absl::Duration kRetryAnswerAfter = absl::Seconds(1);

}  // namespace

MonitoredCall::MonitoredCall(CallMonitor* monitor,
                             grpc::CallbackServerContext* context)
    : monitor_(monitor),
      call_context_(context),
      account_(std::make_shared<ResponseAccount>(monitor->budget_)) {
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
    monitor_->MakeRoom(memory);
    return WithRetryAfter(
        WithQuota(
            MakeError(ErrorReason::kResponseMemoryExhausted,
                      "answers that clients have not read yet take all the "
                      "memory that this server allows for them"),
            kResponseMemoryQuota),
        kRetryAnswerAfter);
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
