// SPDX-License-Identifier: Apache-2.0
// The part of Engine that runs on the engine's thread.

#include <algorithm>
#include <utility>

#include "core/engine/engine.h"

namespace rwkvd {

bool Engine::HasWork() const {
  return !queue_.empty() || !cancelled_.empty() || stop_;
}

bool Engine::AllHaveEnded() const {
  return live_.empty() && num_finishing_ == 0;
}

void Engine::Run() {
  while (WaitForWork()) {
    const absl::Time now = options_.clock();
    Retire(TakeCancelled(now));
    Retire(TakeRefused(now));
    Retire(Admit(now));
    if (runner_.num_running() > 0) Retire(runner_.Step());
  }
}

bool Engine::WaitForWork() {
  if (runner_.num_running() == 0) SleepUntilWork();
  absl::MutexLock lock(&mutex_);
  return !stop_;
}

void Engine::SleepUntilWork() {
  const absl::Condition has_work(this, &Engine::HasWork);
  if (options_.on_idle != nullptr) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(has_work, options_.idle_after)) return;
    }
    options_.on_idle();
  }
  absl::MutexLock lock(&mutex_);
  mutex_.Await(has_work);
}

std::vector<EndedSequence> Engine::TakeCancelled(absl::Time now) {
  std::vector<EndedSequence> ended;
  absl::MutexLock lock(&mutex_);
  if (!suspending_ && cancelled_.empty()) return ended;
  const bool end_all = draining_ && now >= drain_deadline_;
  const auto ends = [&](const Sequence& sequence) {
    mutex_.AssertHeld();
    return end_all || (suspending_ && sequence.SuspendsOnDrain()) ||
           cancelled_.contains(sequence.id());
  };
  for (auto& sequence : runner_.Remove(ends)) {
    ended.push_back(EndEarly(std::move(sequence), now));
  }
  for (auto& sequence : queue_) {
    if (ends(*sequence)) ended.push_back(EndEarly(std::move(sequence), now));
  }
  std::erase(queue_, nullptr);
  cancelled_.clear();
  return ended;
}

EndedSequence Engine::EndEarly(std::unique_ptr<Sequence> sequence,
                               absl::Time now) {
  if (cancelled_.contains(sequence->id())) {
    return {std::move(sequence), FinishReason::kCancelled,
            absl::CancelledError("cancelled")};
  }
  if (sequence->SuspendsOnDrain()) {
    if (!sequence->is_admitted()) runner_.LoadStart(*sequence, now);
    sequence->Suspend();
  }
  return {std::move(sequence), FinishReason::kCancelled,
          absl::UnavailableError("the server is shutting down")};
}

std::vector<EndedSequence> Engine::TakeRefused(absl::Time now) {
  std::vector<EndedSequence> ended;
  absl::MutexLock lock(&mutex_);
  const size_t num_seen = queue_.size() - std::min(num_new_, queue_.size());
  num_new_ = 0;
  int64_t num_before = 0;  // requests that stay in the queue before this one
  for (size_t i = 0; i < queue_.size(); ++i) {
    std::unique_ptr<Sequence>& sequence = queue_[i];
    if (now - sequence->received() > options_.max_queue_time &&
        !sequence->continues()) {
      counters_.rejected_queue_time.Add(1);
      ended.push_back({std::move(sequence), FinishReason::kRefused,
                       Exhausted("waited for too long in the queue")});
      continue;
    }
    if (i >= num_seen &&
        IsTooLate(*sequence, now + WaitBehind(num_before) / 2)) {
      ended.push_back(RefuseAsTooLate(std::move(sequence)));
    } else {
      ++num_before;
    }
  }
  std::erase(queue_, nullptr);
  return ended;
}

absl::Duration Engine::WaitBehind(int64_t num_before) const {
  const int64_t num_free = options_.max_running - runner_.num_running();
  if (num_before < num_free) return absl::ZeroDuration();
  return slot_release_rate_.TimeFor(num_before - num_free + 1)
      .value_or(absl::ZeroDuration());
}

bool Engine::IsTooLate(const Sequence& sequence, absl::Time admission) {
  if (sequence.deadline() == absl::InfiniteFuture()) return false;
  return admission + runner_.MinTimeFor(sequence) > sequence.deadline();
}

EndedSequence Engine::RefuseAsTooLate(std::unique_ptr<Sequence> sequence) {
  counters_.rejected_deadline.Add(1);
  return {std::move(sequence), FinishReason::kRefused,
          absl::DeadlineExceededError(
              "the deadline cannot be met: it would pass before the end of "
              "prefill")};
}

std::vector<EndedSequence> Engine::Admit(absl::Time now) {
  std::vector<EndedSequence> ended;
  while (runner_.num_running() < options_.max_running) {
    std::unique_ptr<Sequence> sequence;
    {
      absl::MutexLock lock(&mutex_);
      if (queue_.empty()) break;
      sequence = std::move(queue_.front());
      queue_.pop_front();
    }
    if (IsTooLate(*sequence, now)) {
      ended.push_back(RefuseAsTooLate(std::move(sequence)));
    } else {
      runner_.Admit(std::move(sequence), now);
    }
  }
  absl::MutexLock lock(&mutex_);
  slot_release_rate_.SetFull(runner_.num_running() == options_.max_running,
                             now);
  return ended;
}

void Engine::Retire(std::vector<EndedSequence> ended) {
  if (ended.empty()) return;
  const absl::Time now = options_.clock();
  {
    // Before the sinks are called, so that a client that sees the end finds the
    // slot free.
    absl::MutexLock lock(&mutex_);
    int64_t num_released = 0;
    for (const EndedSequence& one : ended) {
      const auto live = live_.find(one.sequence->id());
      live_tokens_ -= live->second;
      live_.erase(live);
      if (one.sequence->is_admitted()) ++num_released;
    }
    if (num_released > 0) slot_release_rate_.NoteReleased(num_released, now);
    num_finishing_ = ended.size();
  }
  for (const EndedSequence& one : ended) {
    one.sequence->Finish(one.reason, one.status, now);
  }
  if (options_.on_requests_ended != nullptr) options_.on_requests_ended();
  absl::MutexLock lock(&mutex_);
  num_finishing_ = 0;
}

}  // namespace rwkvd
