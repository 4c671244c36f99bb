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
#include "service/calls/monitored_call.h"
#include "service/calls/stream_slots.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One GetState call. It sends a saved state, in several messages, for which it
// reserves memory before the state is read.
//
// Owns itself: it is deleted when gRPC (OnDone) and the worker no longer use
// it. Thread-safe. Everything in the environment outlives it.
class GetStateCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public MonitoredCall {
 public:
  // Answers the call, whose message is a GetStateRequest, with
  // GetStateResponses.
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

  void OnWriteDone(bool ok) override;
  void OnDone() override;
  bool GiveUp(GiveUpReason reason, const absl::Status& why) override
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Reads the state. On the worker's thread.
  absl::Status Load(const std::string& handle, ResponseCharge charge)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void SendNext() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the call, unless that has happened.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Decides on the status of the call, which has not ended. Returns whether the
  // caller must pass it to gRPC; otherwise the write under way does.
  bool SetEnd(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  StreamSlots* const slots_;
  CallRecord record_;
  size_t sent_ = 0;            // of the state
  grpc::ByteBuffer response_;  // that gRPC writes

  absl::Mutex mutex_;
  std::shared_ptr<const Contents> contents_ ABSL_GUARDED_BY(mutex_);
  bool write_under_way_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;  // status_ is decided
  bool finish_called_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_;  // set before has_ended_, read after
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_
