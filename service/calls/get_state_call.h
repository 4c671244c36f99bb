// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_
#define RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_record.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/calls/stream_end.h"
#include "service/calls/stream_slots.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One GetState call. It sends a saved state, in several messages, for which it
// reserves memory before the state is read.
//
// Owns itself: it is deleted when gRPC (OnDone), the work pool and the worker
// no longer use it. Thread-safe. Everything in the environment outlives it.
class GetStateCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public MonitoredCall {
 public:
  // Answers the call, whose message has arrived.
  static GetStateCall* Start(const CallEnvironment& environment,
                             grpc::CallbackServerContext* context,
                             const grpc::ByteBuffer* message);

 private:
  // A state, and what it is charged for.
  struct Contents {
    std::shared_ptr<const std::string> bytes;
    ResponseCharge charge;
  };

  GetStateCall(const CallEnvironment& environment,
               grpc::CallbackServerContext* context);
  ~GetStateCall() override = default;

  absl::Status Begin(const grpc::ByteBuffer* message);
  // On a thread of the work pool.
  absl::Status Parse(RequestMessage message);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  bool GiveUp(GiveUpReason reason, const absl::Status& why) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Reads the state. On the worker's thread.
  absl::Status Load(const std::string& handle, ResponseCharge charge)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void SendNext() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call, unless that has happened.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void FinishIfDue();
  // Drops the state.
  void Drop() ABSL_LOCKS_EXCLUDED(mutex_);

  const CallEnvironment environment_;
  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  StreamSlots* const slots_;
  CallRecord record_;
  StreamEnd end_;
  WorkPool::TaskId task_;      // set before Start returns
  size_t sent_ = 0;            // of the state
  grpc::ByteBuffer response_;  // that gRPC writes

  absl::Mutex mutex_;
  std::shared_ptr<const Contents> contents_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_
