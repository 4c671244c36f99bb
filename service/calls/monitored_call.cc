// SPDX-License-Identifier: Apache-2.0
#include "service/calls/monitored_call.h"

#include "cli/grpc_status.h"
#include "service/calls/admission.h"
#include "service/calls/call_monitor.h"

namespace rwkvd {

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
