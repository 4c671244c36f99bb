// SPDX-License-Identifier: Apache-2.0
// The part of Engine that runs on the engine's thread.

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "core/engine/engine.h"

namespace rwkvd {
namespace {

// How long the thread waits for snapshots to be delivered before it looks
// again, while no request can run.
constexpr absl::Duration kBlockedPause = absl::Milliseconds(5);

// The slots that samples of one request may occupy at the same time.
int64_t MaxSlotsPerRequest(const EngineOptions& options) {
  return std::max<int64_t>(options.max_running / 2, 1);
}

// The slots that are for flows without any: an eighth of all, at least one if
// there are several.
int64_t NumReservedSlots(int64_t num_slots) {
  return num_slots == 1 ? 0 : std::max<int64_t>(num_slots / 8, 1);
}

// Whether the flow of `a` occupies fewer slots for its weight than that of `b`.
// Those of the flow without a name are not counted.
bool HasFewerSlots(const Sequence& a, const Sequence& b) {
  const auto slots = [](const Sequence& sequence) {
    return sequence.flow_use() == nullptr ? 0
                                          : sequence.flow_use()->num_running;
  };
  return slots(a) * b.flow().weight < slots(b) * a.flow().weight;
}

}  // namespace

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
    if (runner_.num_running() == 0) continue;
    std::vector<EndedSequence> ended = runner_.Step();
    NoteTokens();
    Retire(std::move(ended));
  }
}

bool Engine::WaitForWork() {
  if (runner_.num_running() == 0) SleepUntilWork();
  absl::MutexLock lock(&mutex_);
  return !stop_;
}

void Engine::SleepUntilWork() {
  bool is_blocked = false;
  {
    absl::MutexLock lock(&mutex_);
    is_blocked = blocked_;
  }
  if (is_blocked) {
    // Not a timed wait of the mutex, which would last longer if somebody sets
    // the clock of the system back.
    absl::SleepFor(kBlockedPause);
    return;
  }
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
  const auto must_end = [&](const Sequence& sequence) {
    mutex_.AssertHeld();
    return end_all || cancelled_.contains(sequence.id());
  };
  const auto suspends = [&](const Sequence& sequence) {
    mutex_.AssertHeld();
    return suspending_ && sequence.SuspendsOnDrain();
  };
  int64_t room = RoomForStates();
  for (auto& sequence : runner_.Remove([&](const Sequence& sequence) {
         return must_end(sequence) || suspends(sequence);
       })) {
    ended.push_back(EndEarly(std::move(sequence), /*has_room=*/true, now));
  }
  for (auto& sequence : queue_) {
    const bool suspend = suspends(*sequence) && room > 0;
    if (!suspend && !must_end(*sequence)) continue;
    if (suspend) --room;
    ended.push_back(EndEarly(std::move(sequence), suspend, now));
  }
  std::erase(queue_, nullptr);
  cancelled_.clear();
  return ended;
}

EndedSequence Engine::EndEarly(std::unique_ptr<Sequence> sequence,
                               bool has_room, absl::Time now) {
  if (cancelled_.contains(sequence->id())) {
    return {std::move(sequence), FinishReason::kCancelled,
            MakeError(ErrorReason::kCancelled, "cancelled")};
  }
  if (sequence->SuspendsOnDrain() && has_room) {
    if (!sequence->is_admitted()) runner_.LoadStart(*sequence, now);
    sequence->Suspend();
  }
  return {std::move(sequence), FinishReason::kCancelled, ServerShuttingDown()};
}

std::vector<EndedSequence> Engine::TakeRefused(absl::Time now) {
  std::vector<EndedSequence> ended;
  absl::MutexLock lock(&mutex_);
  const size_t num_seen = queue_.size() - std::min(num_new_, queue_.size());
  num_new_ = 0;
  // By flow: its requests that stay in the queue before this one. Those of
  // other flows need not be served before.
  absl::flat_hash_map<const FlowUse*, int64_t> num_before;
  for (size_t i = 0; i < queue_.size(); ++i) {
    std::unique_ptr<Sequence>& sequence = queue_[i];
    // The samples of a request wait for one another.
    const bool has_started =
        sequence->group() != nullptr && sequence->group()->has_started;
    if (now - sequence->received() > options_.max_queue_time &&
        !sequence->continues() && !has_started) {
      counters_.rejected_queue_time.Add(1);
      ended.push_back(
          {std::move(sequence), FinishReason::kRefused,
           Exhausted(ErrorReason::kQueueTimeExceeded, "max_queue_time",
                     "waited for too long in the queue")});
      continue;
    }
    if (i >= num_seen &&
        IsTooLate(*sequence,
                  now + WaitBehind(num_before[sequence->flow_use()]) / 2)) {
      ended.push_back(RefuseAsTooLate(std::move(sequence)));
    } else {
      ++num_before[sequence->flow_use()];
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
  return {
      std::move(sequence), FinishReason::kRefused,
      MakeError(ErrorReason::kDeadlineUnreachable,
                "the deadline cannot be met: it would pass before the end of "
                "prefill")};
}

int64_t Engine::RoomForStates() const {
  return int64_t{0} + options_.max_running + options_.max_snapshots -
         runner_.num_running() - memory_->num_snapshots.load();
}

bool Engine::FlowMayRun(const Sequence& sequence) const {
  const FlowUse* const use = sequence.flow_use();
  if (use == nullptr || use->num_running == 0) return true;
  const int64_t num_free = options_.max_running - runner_.num_running();
  return use->num_running < sequence.flow().max_running &&
         num_free > NumReservedSlots(options_.max_running);
}

Engine::Queue::iterator Engine::NextToAdmit() {
  if (RoomForStates() <= 0) return queue_.end();
  bool states_are_short = false;
  const auto may_run = [&](const Sequence& sequence) {
    mutex_.AssertHeld();
    if (suspending_ && sequence.SuspendsOnDrain()) return false;
    if (sequence.group() != nullptr &&
        sequence.group()->num_running >= MaxSlotsPerRequest(options_)) {
      return false;
    }
    if (!FlowMayRun(sequence)) return false;
    if (sequence.NumBranchStates() == 0) return true;
    states_are_short |= !runner_.HasBranchStatesFor(sequence);
    return !states_are_short;
  };
  auto best = queue_.end();
  for (auto next = queue_.begin(); next != queue_.end(); ++next) {
    if (best != queue_.end() && !HasFewerSlots(**next, **best)) continue;
    if (!may_run(**next)) continue;
    best = next;
    const bool has_one_flow = flows_.size() <= 1;
    if (has_one_flow || (*best)->flow_use() == nullptr) break;
  }
  return best;
}

std::vector<EndedSequence> Engine::Admit(absl::Time now) {
  std::vector<EndedSequence> ended;
  while (runner_.num_running() < options_.max_running) {
    std::unique_ptr<Sequence> sequence;
    {
      absl::MutexLock lock(&mutex_);
      const auto next = NextToAdmit();
      blocked_ =
          next == queue_.end() && !queue_.empty() && runner_.num_running() == 0;
      if (next == queue_.end()) break;
      sequence = std::move(*next);
      queue_.erase(next);
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

void Engine::NoteTokens() {
  const absl::Time now = options_.clock();
  const int64_t generated = counters_.generated_tokens.value();
  const int64_t prompt =
      counters_.prompt_tokens.value() + counters_.scored_tokens.value();
  absl::MutexLock lock(&mutex_);
  generated_rate_.Add(generated - std::exchange(noted_generated_, generated),
                      now);
  prompt_rate_.Add(prompt - std::exchange(noted_prompt_, prompt), now);
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
      AddToFlow(one.sequence->mutable_flow_use(), -1, -live->second);
      live_.erase(live);
      if (one.sequence->is_admitted()) ++num_released;
    }
    if (num_released > 0) slot_release_rate_.NoteReleased(num_released, now);
    ended_rate_.Add(static_cast<int64_t>(ended.size()), now);
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
