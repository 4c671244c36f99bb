// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/engine/generation.h"
#include "core/engine/scoring.h"
#include "core/engine/validate.h"

namespace rwkvd {
namespace {

std::vector<NamedState> OrOwnState(std::vector<NamedState> states,
                                   const Model& model) {
  if (states.empty()) states.push_back({kOwnStateName, model.NewState()});
  return states;
}

}  // namespace

Engine::Engine(const EngineOptions& options, const Model* model,
               const Tokenizer* tokenizer, ThreadPool* pool,
               std::vector<NamedState> initial_states)
    : options_(options),
      model_(model),
      tokenizer_(tokenizer),
      initial_states_(OrOwnState(std::move(initial_states), *model)),
      state_cache_({options.state_cache_bytes, options.max_pinned_bytes,
                    options.max_pinned}),
      runner_(options, model, initial_states_, &state_cache_, pool, &counters_),
      thread_([this] { Run(); }) {}

Engine::~Engine() {
  Drain(absl::InfinitePast());
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

absl::StatusOr<Engine::RequestId> Engine::Submit(GenerateRequest request,
                                                 TokenSink* sink) {
  const int64_t vocab_size = model_->config().vocab_size;
  RWKVD_RETURN_IF_ERROR(Validate(request, options_, vocab_size));
  RWKVD_RETURN_IF_ERROR(CheckInitialState(request.initial_state));
  RWKVD_ASSIGN_OR_RETURN(const RequestId id, Reserve());
  Enqueue(std::make_unique<Generation>(id, std::move(request), vocab_size,
                                       tokenizer_, sink, &counters_));
  return id;
}

absl::StatusOr<Engine::RequestId> Engine::Submit(ScoreRequest request,
                                                 TokenSink* sink) {
  RWKVD_RETURN_IF_ERROR(
      Validate(request, options_, model_->config().vocab_size));
  RWKVD_RETURN_IF_ERROR(CheckInitialState(request.initial_state));
  RWKVD_ASSIGN_OR_RETURN(const RequestId id, Reserve());
  Enqueue(std::make_unique<Scoring>(id, std::move(request), sink, &counters_));
  return id;
}

absl::Status Engine::CheckInitialState(int32_t index) const {
  const auto size = static_cast<int32_t>(initial_states_.size());
  if (index >= 0 && index < size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("initial_state: ", index, " is not in [0, ", size, ")"));
}

absl::StatusOr<Engine::RequestId> Engine::Reserve() {
  absl::MutexLock lock(&mutex_);
  if (draining_) {
    counters_.rejected_draining.Add(1);
    return absl::UnavailableError("the server is shutting down");
  }
  const size_t places = size_t{0} + options_.max_running + options_.max_queued;
  if (live_.size() >= places) {
    counters_.rejected_queue_full.Add(1);
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", options_.max_running,
                     " requests run and ", options_.max_queued, " wait"));
  }
  live_.insert(++last_id_);
  return last_id_;
}

void Engine::Enqueue(std::unique_ptr<Sequence> sequence) {
  absl::MutexLock lock(&mutex_);
  queue_.push_back(std::move(sequence));
}

void Engine::Cancel(RequestId id) {
  absl::MutexLock lock(&mutex_);
  if (live_.contains(id)) cancelled_.insert(id);
}

void Engine::Drain(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  drain_deadline_ = std::min(drain_deadline_, deadline);
  mutex_.Await(absl::Condition(this, &Engine::AllHaveEnded));
}

std::vector<PinnedPrefix> Engine::Pinned(absl::Time now) {
  state_cache_.Expire(now);
  return state_cache_.Pinned();
}

EngineStats Engine::Stats() const {
  EngineStats stats = counters_.Read();
  const StateCache::Figures states = state_cache_.figures();
  stats.state_cache_bytes = states.bytes;
  stats.state_cache_entries = states.entries;
  stats.state_cache_evictions = static_cast<uint64_t>(states.evictions);
  stats.state_cache_pinned = states.pinned;
  absl::MutexLock lock(&mutex_);
  stats.queued = static_cast<int64_t>(queue_.size());
  return stats;
}

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
    Admit(now);
    if (runner_.num_running() > 0) Retire(runner_.Step());
  }
}

bool Engine::WaitForWork() {
  absl::MutexLock lock(&mutex_);
  if (runner_.num_running() == 0) {
    mutex_.Await(absl::Condition(this, &Engine::HasWork));
  }
  return !stop_;
}

std::vector<Ended> Engine::TakeCancelled(absl::Time now) {
  std::vector<Ended> ended;
  absl::MutexLock lock(&mutex_);
  const bool end_all = draining_ && now >= drain_deadline_;
  if (!end_all && cancelled_.empty()) return ended;
  const auto is_out = [&](const Sequence& sequence) {
    mutex_.AssertHeld();
    return end_all || cancelled_.contains(sequence.id());
  };
  const auto add = [&](std::unique_ptr<Sequence> sequence) {
    mutex_.AssertHeld();
    const bool is_cancelled = cancelled_.contains(sequence->id());
    ended.push_back(
        {std::move(sequence), FinishReason::kCancelled,
         is_cancelled ? absl::CancelledError("cancelled")
                      : absl::UnavailableError("the server is shutting down")});
  };
  for (auto& sequence : runner_.Remove(is_out)) add(std::move(sequence));
  for (auto& sequence : queue_) {
    if (is_out(*sequence)) add(std::move(sequence));
  }
  std::erase(queue_, nullptr);
  cancelled_.clear();
  return ended;
}

void Engine::Admit(absl::Time now) {
  while (runner_.num_running() < options_.max_running) {
    std::unique_ptr<Sequence> sequence;
    {
      absl::MutexLock lock(&mutex_);
      if (queue_.empty()) return;
      sequence = std::move(queue_.front());
      queue_.pop_front();
    }
    runner_.Join(std::move(sequence), now);
  }
}

void Engine::Retire(std::vector<Ended> ended) {
  if (ended.empty()) return;
  {
    // Before the sinks are told: who hears of an end finds the place free.
    absl::MutexLock lock(&mutex_);
    for (const Ended& one : ended) live_.erase(one.sequence->id());
    num_finishing_ = ended.size();
  }
  const absl::Time now = options_.clock();
  for (const Ended& one : ended) {
    one.sequence->Finish(one.reason, one.status, now);
  }
  absl::MutexLock lock(&mutex_);
  num_finishing_ = 0;
}

}  // namespace rwkvd
