// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_MONITORED_CALL_H_
#define RWKVD_SERVICE_CALLS_MONITORED_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "service/metrics/metrics.h"
#include "service/response_memory.h"

namespace rwkvd {

class CallMonitor;

// The base class of calls that a CallMonitor may give up. It counts the
// references to the call: gRPC's, which Done returns, and those of others that
// use it. The last one deletes it.
//
// Thread-safe.
class MonitoredCall {
 public:
  MonitoredCall(const MonitoredCall&) = delete;
  MonitoredCall& operator=(const MonitoredCall&) = delete;

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  // Both outlive the call; `context` is that of the call. `share` is that of
  // its identity in the budget for responses; null if there is none.
  MonitoredCall(CallMonitor* monitor, grpc::CallbackServerContext* context,
                std::shared_ptr<ByteBudget> share = nullptr);
  virtual ~MonitoredCall() = default;

  // The first stage: drops what is buffered, cancels requests, and ends the
  // call with `why` once no write is under way. Returns false, and does
  // nothing, if gRPC already has the call's status. Called on any thread, which
  // holds no lock.
  virtual bool GiveUp(GiveUpReason reason, const absl::Status& why) = 0;

  // The client may keep the call waiting from now on until ClientResponded: it
  // is to read the message under way, or to send the next one.
  void WaitForClientToRead() { StartWait(/*to_read=*/true); }
  void WaitForClientToSend() { StartWait(/*to_read=*/false); }
  void ClientResponded() { waits_since_.store(0, std::memory_order_relaxed); }

  // Serializes the answer of a unary call into `bytes`, which are gRPC's, and
  // charges the call for them until gRPC has written them. ResourceExhausted if
  // the answer is larger than clients accept by default, or if answers that
  // clients have not read leave no memory for it.
  absl::Status SetAnswer(const google::protobuf::Message& answer,
                         grpc::ByteBuffer* bytes);

  // Ends the use by gRPC: called by OnDone as its last action. `status` is that
  // which the call has passed to gRPC.
  void Done();
  // For OnDone: the status that the client got instead of `status` if the
  // stream was reset, or if `status` is OK and was not sent; else `status`.
  grpc::Status FinalStatus(const grpc::Status& status) const;

  CallMonitor* monitor() const { return monitor_; }
  const std::shared_ptr<ResponseAccount>& account() const { return account_; }

 private:
  friend class CallMonitor;

  enum class Stage { kOpen, kGivenUp, kReset };

  void StartWait(bool to_read);

  CallMonitor* const monitor_;
  grpc::CallbackServerContext* const call_context_;
  const std::shared_ptr<ResponseAccount> account_;
  std::atomic<int> refs_{1};             // gRPC's
  std::atomic<int64_t> waits_since_{0};  // CallMonitor::Now; 0: no wait
  std::atomic<bool> waits_to_read_{false};
  // Written under the monitor's lock.
  std::atomic<Stage> stage_{Stage::kOpen};
  std::atomic<int64_t> given_up_at_{0};  // like waits_since_
  std::atomic<GiveUpReason> reason_{GiveUpReason::kMemory};
  std::atomic<bool> is_counted_{false};  // by the metrics
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_MONITORED_CALL_H_
