// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_CALL_MONITOR_H_
#define RWKVD_SERVICE_CALLS_CALL_MONITOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/byte_budget.h"
#include "core/base/event.h"
#include "service/calls/monitored_call.h"
#include "service/metrics/metrics.h"
#include "service/response_memory.h"

namespace rwkvd {

// Gives up calls whose clients do not read or do not send, so that the calls
// together never hold more memory than the budget has, and no memory is held
// forever. A call is given up in two stages:
//
//  1. It drops what it has buffered, cancels its requests, and ends with the
//     reason as soon as gRPC has written the message under way, so that a
//     client that still reads receives whole messages and the reason.
//  2. If the client does not even take that message, the stream is reset.
//
// A call is given up if its client has kept it waiting for longer than a
// timeout, or if it holds most when the budget is nearly exhausted: most among
// the calls of the identity whose calls together hold most. If the share of an
// identity is nearly exhausted, that is one of its own calls.
//
// Owned by the server; outlives all calls. Thread-safe.
class CallMonitor {
 public:
  struct Options {
    // How long a client may take to read the message under way.
    absl::Duration unread_timeout = absl::Minutes(1);
    // How long a client may take to send its next message.
    absl::Duration idle_timeout = absl::Minutes(1);
    // The time between the two stages.
    absl::Duration reset_after = absl::Seconds(10);
    // How long a client may keep a call waiting before the call makes room for
    // a response that has no room.
    absl::Duration room_after = absl::Seconds(1);
  };

  CallMonitor(const Options& options, std::shared_ptr<ByteBudget> budget,
              Metrics* metrics);
  ~CallMonitor();
  CallMonitor(const CallMonitor&) = delete;
  CallMonitor& operator=(const CallMonitor&) = delete;

  // Charges `bytes` to `call`. If the budget or the share has too little left,
  // gives up the calls that hold most, one after the other. Returns nothing if
  // `call` itself has been given up. The thread must hold no lock of a call.
  // Never waits.
  std::optional<ResponseCharge> Charge(MonitoredCall* call, int64_t bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Charges `bytes` to `call`, but gives up no call, and leaves what exceeds
  // max_response_bytes to Charge unless nothing is in use. Returns nothing if
  // the budget or the share has too little left.
  std::optional<ResponseCharge> TryCharge(MonitoredCall* call, int64_t bytes);

  // Gives up the call that holds most among those whose client has kept them
  // waiting for Options::room_after, or resets it, unless `bytes` can never be
  // charged. For a call that TryCharge has refused, so that a later one is not:
  // if the share had too little left, one of the same identity is given up. The
  // thread must hold no lock of a call.
  void MakeRoom(const MonitoredCall& call, int64_t bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Why TryCharge has refused `bytes`: ResourceExhausted with a RetryAfter,
  // unless the identity may never have so much.
  absl::Status OutOfMemory(const MonitoredCall& call, int64_t bytes) const;

  // Charges as TryCharge does, after waiting until other calls have returned
  // enough bytes. Returns nothing once `is_abandoned` returns true, or if
  // `bytes` exceed max_response_bytes. For threads that may wait.
  std::optional<ResponseCharge> WaitAndCharge(
      MonitoredCall* call, int64_t bytes,
      absl::FunctionRef<bool()> is_abandoned);

  // Records that `call` has given itself up. It may hold its lock.
  void NoteGivenUp(MonitoredCall* call, GiveUpReason reason)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives up `call` for `reason`, unless that has begun already.
  void GiveUp(MonitoredCall* call, GiveUpReason reason)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives up all calls, because the server ends. A second time, resets those
  // that have not ended yet.
  void GiveUpAll() ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether there are calls whose end gRPC has not reported.
  bool HasCalls() ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether a call waits for its client to read a message or its end, and has
  // not been given up.
  bool HasReaders() ABSL_LOCKS_EXCLUDED(mutex_);

  // How long `call` has waited for its client; 0 if it does not wait.
  static absl::Duration WaitOf(const MonitoredCall& call);

  // The most that a response of `call` may hold, in bytes: a call that holds
  // more is given up even if there are no others.
  int64_t max_response_bytes(const MonitoredCall& call) const;

  // `status`, in which the quota is that of the identity if a response is too
  // large because of it: for checks against max_response_bytes.
  absl::Status NameQuota(const MonitoredCall& call, absl::Status status) const;

 private:
  friend class MonitoredCall;

  // The next stage of a call, to be performed without the lock. It holds a
  // reference to the call, and in the second stage one to gRPC's call.
  struct Action {
    MonitoredCall* call = nullptr;
    absl::Status why;
    grpc_call* reset = nullptr;  // null in the first stage
  };

  // MonotonicNow, in nanoseconds; never 0.
  static int64_t Now();

  void Add(MonitoredCall* call) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(MonitoredCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  // The budget or share of `call` in which more than max_response_bytes would
  // be in use with `bytes` more; the share if both. Null if there is none.
  const ByteBudget* ScarceFor(const MonitoredCall& call, int64_t bytes) const;

  // The next stage for the call that holds most, if `requesting` holds `bytes`
  // more, among those that use `scarce` and have waited for their client for
  // `min_wait`. Its call is null if there is none.
  Action NextVictim(const MonitoredCall* requesting, int64_t bytes,
                    const ByteBudget* scarce, absl::Duration min_wait)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Moves `call`, which is not in its last stage, to the next one.
  Action Advance(MonitoredCall* call, GiveUpReason reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status StatusFor(GiveUpReason reason, const MonitoredCall& call) const;
  void Perform(const Action& action) ABSL_LOCKS_EXCLUDED(mutex_);

  // The thread that looks for calls whose time is over.
  void Run();
  std::vector<Action> TakeExpired() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<GiveUpReason> ExpiredFor(const MonitoredCall& call) const;

  const Options options_;
  const absl::Duration tick_;
  const std::shared_ptr<ByteBudget> budget_;
  Metrics* const metrics_;

  absl::Mutex mutex_;
  absl::flat_hash_set<MonitoredCall*> calls_ ABSL_GUARDED_BY(mutex_);

  Event stop_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_CALL_MONITOR_H_
