// SPDX-License-Identifier: Apache-2.0
// The part of Server that waits for its end, and ends it.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/monotonic_clock.h"
#include "service/goaway.h"
#include "service/log.h"
#include "service/server.h"

namespace rwkvd {
namespace {

// How long requests are still accepted after GOAWAY has been sent: clients send
// requests until they receive it.
constexpr absl::Duration kGoawayDelay = absl::Seconds(1);

// How long clients may stay connected after the engine has drained, before what
// they still do is ended.
constexpr absl::Duration kFlushGrace = absl::Seconds(2);

// How long a server that has failed reports NOT_SERVING, and its reason to
// those who call it, before it ends.
constexpr absl::Duration kFailureGrace = absl::Seconds(2);

// How long clients may take to receive the status of a call that is ended for
// them.
constexpr absl::Duration kEndGrace = absl::Milliseconds(200);

// How long the end of the server waits for the collector of spans.
constexpr absl::Duration kSpanGrace = absl::Seconds(2);

// How often the end of the last connection is checked, for which gRPC has no
// event.
constexpr absl::Duration kPollInterval = absl::Milliseconds(10);

}  // namespace

absl::Status Server::Wait() {
  bool has_failed = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto decided = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return drains_ > 0 || !load_status_.ok() || !failure_.ok();
    };
    mutex_.Await(absl::Condition(&decided));
    if (!load_status_.ok()) return load_status_;
    has_failed = !failure_.ok();
  }
  if (has_failed) {
    ShutDownAfterFailure();
  } else {
    ShutDown();
  }
  absl::MutexLock lock(&mutex_);
  return failure_;
}

void Server::Fail(absl::Status reason) {
  {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) return;
    failure_ = std::move(reason);
  }
  health_.StopServing();
  LogWarning("ending: health is NOT_SERVING");
}

void Server::ShutDownAfterFailure() {
  draining_.WaitFor(kFailureGrace);
  ShutDownBy(MonotonicNow());
}

void Server::Drain() {
  bool is_first;
  {
    absl::MutexLock lock(&mutex_);
    is_first = ++drains_ == 1;
  }
  draining_.Notify();
  if (is_first) {
    health_.StopServing();
    LogInfo("draining: health is NOT_SERVING");
    return;
  }
  cut_short_.Notify();
  LogInfo("draining: ending all requests now");
  ServedModel* const model = this->model();
  if (model != nullptr) model->engine->Drain(absl::InfinitePast());
}

void Server::DrainAtOnce() {
  Drain();
  Drain();
}

void Server::ShutDown() {
  // A server that has not reported SERVING has no clients to wait for.
  if (model() != nullptr) cut_short_.WaitFor(options_.lame_duck);
  LogInfo(absl::StrCat(
      "draining: clients are sent to other servers; accepted requests may "
      "continue for ",
      absl::FormatDuration(options_.drain_grace),
      "; another signal ends them at once"));
  ShutDownBy(MonotonicNow() + options_.drain_grace);
}

void Server::ShutDownBy(absl::Time grace_end) {
  SendClientsAway(grace_end);
  ServedModel* const model = this->model();
  if (model != nullptr) model->engine->Drain(grace_end);
  Flush(grace_end);
  grpc_->Shutdown(absl::ToChronoTime(absl::Now()));
  if (spans_ != nullptr) spans_->Flush(kSpanGrace);
  LogInfo("stopped");
}

void Server::SendClientsAway(absl::Time grace_end) {
  listener_->Stop();
  SendGoaway(*grpc_);
  health_.EndWatches();
  reflection_.Stop();
  ServedModel* const model = this->model();
  if (model != nullptr) model->engine->SuspendRequests();
  const absl::Time end = std::min(grace_end, MonotonicNow() + kGoawayDelay);
  while (HasConnections(*grpc_) && MonotonicNow() < end &&
         !cut_short_.WaitFor(kPollInterval)) {
    // Also on connections that were being established.
    SendGoaway(*grpc_);
  }
}

void Server::Flush(absl::Time grace_end) {
  const absl::Time flush_end = MonotonicNow() + kFlushGrace;
  WaitForCalls([&] {
    // Clients need their complete responses and states, which may be large.
    const bool continues = monitor_.HasReaders() || TransfersStates();
    return continues && !cut_short_.HasHappened()
               ? std::max(flush_end, grace_end)
               : flush_end;
  });
  // What is left waits for its client: ends it with a reason, and then without
  // waiting for the client any more.
  for (int stage = 0; stage < 2; ++stage) {
    monitor_.GiveUpAll();
    const absl::Time end = MonotonicNow() + kEndGrace;
    WaitForCalls([&] { return end; });
  }
}

bool Server::TransfersStates() const {
  ServedModel* const model = this->model();
  return model != nullptr &&
         (model->states->num_deliveries() > 0 || service_.num_transfers() > 0);
}

void Server::WaitForCalls(absl::FunctionRef<absl::Time()> end) {
  // gRPC reports the end of a call a little later than that of its connection.
  while ((HasConnections(*grpc_) || monitor_.HasCalls()) &&
         MonotonicNow() < end()) {
    absl::SleepFor(kPollInterval);
  }
}

}  // namespace rwkvd
