// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_PUT_STATE_CALL_H_
#define RWKVD_SERVICE_CALLS_PUT_STATE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/byte_budget.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_record.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/calls/stream_end.h"
#include "service/calls/stream_slots.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"
#include "service/states/saved_states.h"

namespace rwkvd {

// One PutState call. It receives a state in several messages, checks it, and
// saves it. The bytes are reserved in the budget of requests. If the client
// does not get the handle of the saved state, the state is deleted.
//
// Owns itself: it is deleted when gRPC (OnDone), the work pool and the worker
// no longer use it. Used by one thread at a time: gRPC's and those of the work
// pool in turn, then the worker's; the monitor and OnCancel may end it
// meanwhile. Everything in the environment outlives it.
class PutStateCall final : public grpc::ServerReadReactor<grpc::ByteBuffer>,
                           public MonitoredCall {
 public:
  // Answers the call into `response`.
  static PutStateCall* Start(const CallEnvironment& environment,
                             grpc::CallbackServerContext* context,
                             grpc::ByteBuffer* response);

 private:
  PutStateCall(const CallEnvironment& environment,
               grpc::CallbackServerContext* context,
               grpc::ByteBuffer* response);
  ~PutStateCall() override;

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  bool GiveUp(GiveUpReason reason, const absl::Status& why) override;

  absl::Status Begin();
  void ReadNext();
  // Adds the parsing of the message that was read to the work pool.
  absl::Status BeginMessage() ABSL_LOCKS_EXCLUDED(mutex_);
  // Appends a message to bytes_, and reads the next one. On a thread of the
  // work pool.
  absl::Status TakeMessage(RequestMessage message);
  absl::Status AppendMessage(RequestMessage message);
  // The time to live that the client has asked for, or that of other states.
  absl::StatusOr<absl::Duration> TimeToLive(
      std::optional<absl::Duration> requested) const;
  // Makes room in bytes_ for `size` bytes, and reserves it.
  absl::Status MakeRoom(int64_t size);
  // Reserves `bytes` in all.
  absl::Status Reserve(int64_t bytes);
  // Saves bytes_ and sets the response. On the worker's thread.
  absl::Status Save();
  // Ends the call, unless that has happened. Returns whether it has ended now.
  bool End(const absl::Status& status);
  void FinishIfDue();

  const CallEnvironment environment_;
  const ServedModel* const model_;
  StreamSlots* const slots_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;  // owned by gRPC, valid until Finish
  CallRecord record_;
  StreamEnd end_;
  grpc::ByteBuffer message_;  // being read
  std::string bytes_;
  std::optional<ByteBudget::Reservation> reserved_;
  std::optional<absl::Duration> time_to_live_;
  std::string handle_;        // of the saved state
  bool is_answered_ = false;  // the client got it; set by OnDone

  absl::Mutex mutex_;
  // The parsing of the last message that was read.
  WorkPool::TaskId task_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_PUT_STATE_CALL_H_
