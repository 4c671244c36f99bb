// SPDX-License-Identifier: Apache-2.0
#include "core/engine/step_runner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/engine/cache/save_points.h"

namespace rwkvd {
namespace {

// Rows of logits of a step, at least: as many tokens as a score can read in
// one. More would gain little, since each weight is already used that often.
constexpr int64_t kMinLogitsRows = 64;

// Logits of a step from which on it pays to wake other threads up for them;
// fewer are done before those have come.
constexpr int64_t kParallelLogits = 16384;

// Of the steps that nothing but prompts filled.
constexpr size_t kMaxFullSteps = 64;

int64_t LogitsRowsFor(const EngineOptions& options) {
  return std::max<int64_t>(options.max_running, kMinLogitsRows);
}

}  // namespace

StepRunner::StepRunner(const EngineOptions& options, const Model* model,
                       absl::Span<const NamedState> initial_states,
                       StateCache* state_cache, ThreadPool* pool,
                       EngineCounters* counters)
    : options_(options),
      model_(model),
      initial_states_(initial_states),
      state_cache_(state_cache),
      pool_(pool),
      counters_(counters),
      workspace_(model->NewWorkspace(options.max_step_tokens, pool)),
      logits_(LogitsRowsFor(options), model->config().vocab_size),
      scheduler_(options.max_step_tokens, LogitsRowsFor(options)),
      prompt_budget_(options.max_decode_slowdown,
                     options.min_step_prompt_tokens, options.max_step_tokens) {
  RWKVD_CHECK(Validate(options).ok());
}

void StepRunner::Join(std::unique_ptr<Sequence> sequence, absl::Time now) {
  RWKVD_CHECK(num_running() < options_.max_running);
  SharedPrompt* const shared = sequence->shared_prompt().get();
  const bool is_reader = shared == nullptr || shared->reader == nullptr;
  if (is_reader && shared != nullptr) shared->reader = sequence.get();
  std::shared_ptr<const KnownPrefix> known;
  if (shared != nullptr && shared->known != nullptr) {
    known = shared->known;
    sequence->LeaveSharedPrompt();
  }
  if (is_reader && known == nullptr && sequence->use_state_cache() &&
      options_.state_cache_bytes > 0) {
    known = LookUp(*sequence, now);
  }
  if (known == nullptr) {
    Begin(*sequence, now);
  } else {
    sequence->Join(std::move(known), now);
  }
  running_.push_back(std::move(sequence));
  counters_->running.Set(num_running());
}

void StepRunner::Begin(Sequence& sequence, absl::Time now) const {
  if (sequence.snapshot() != nullptr) {
    sequence.JoinFromSnapshot(now);
  } else if (sequence.start() != nullptr) {
    sequence.Join(*sequence.start(), now);
  } else {
    sequence.Join(initial_states_[sequence.initial_state()].state, now);
  }
}

std::shared_ptr<const KnownPrefix> StepRunner::LookUp(Sequence& sequence,
                                                      absl::Time now) {
  state_cache_->Expire(now);
  StateCache::Found found =
      state_cache_->Lookup(sequence.initial_state(), sequence.prompt());
  counters_->state_cache_queries.Add(1);
  counters_->state_cache_hits.Add(found.known == nullptr ? 0 : 1);
  sequence.SetSavePoints(
      PlanSavePoints(static_cast<int64_t>(sequence.prompt().size()),
                     found.known == nullptr ? 0 : found.known->num_tokens,
                     found.num_shared, options_.state_cache_interval));
  return std::move(found.known);
}

std::vector<Ended> StepRunner::Step() {
  const absl::Time begin = options_.clock();
  const StepSize size = Plan();
  const int64_t num_tokens = size.decoded + size.read;
  const int64_t num_sequences = num_running();
  if (!chunks_.empty()) model_->Forward(chunks_, workspace_);
  ProcessLogits();
  const absl::Time now = options_.clock();
  NoteStep(size, PositiveSeconds(now - begin));
  // Where every prediction was known, there was no step to speak of.
  if (num_tokens > 0) {
    counters_->steps.Add(1);
    counters_->ffn_sparsity_ppm.Set(
        static_cast<int64_t>(workspace_.zero_share() * 1e6));
    counters_->step_seconds.Observe(PositiveSeconds(now - begin));
    counters_->batch_size.Observe(static_cast<double>(num_sequences));
    counters_->batch_tokens.Observe(static_cast<double>(num_tokens));
  }
  return Deliver(now);
}

void StepRunner::NoteStep(const StepSize& size, double seconds) {
  if (size.decoded > 0) {
    prompt_budget_.Observe(size.decoded, size.read, seconds);
  } else if (size.read == options_.max_step_tokens) {
    full_steps_.push_front(seconds);
    if (full_steps_.size() > kMaxFullSteps) full_steps_.pop_back();
  }
}

absl::Duration StepRunner::LeastTimeFor(const Sequence& sequence) {
  if (full_steps_.empty()) return absl::ZeroDuration();
  const double seconds =
      *std::min_element(full_steps_.begin(), full_steps_.end());
  int64_t num_unknown = sequence.TokensNeeded();
  if (sequence.use_state_cache()) {
    const auto known =
        state_cache_->Lookup(sequence.initial_state(), sequence.prompt()).known;
    if (known != nullptr) num_unknown -= known->num_tokens;
  }
  return absl::Seconds(seconds * static_cast<double>(num_unknown) /
                       options_.max_step_tokens);
}

StepRunner::StepSize StepRunner::Plan() {
  StepSize size;
  demands_.clear();
  for (const auto& sequence : running_) {
    demands_.push_back(sequence->Next());
    if (demands_.back().decoding) size.decoded += demands_.back().tokens;
  }
  const int64_t max_read =
      size.decoded > 0 ? prompt_budget_.Next() : options_.max_step_tokens;
  const absl::Span<const int64_t> allocations =
      scheduler_.Allocate(demands_, max_read);
  logits_.Clear();
  chunks_.clear();
  for (size_t i = 0; i < running_.size(); ++i) {
    running_[i]->Plan(allocations[i], &logits_, &chunks_);
    if (!demands_[i].decoding) size.read += allocations[i];
  }
  return size;
}

void StepRunner::ProcessLogits() {
  logits_tasks_.clear();
  for (const auto& sequence : running_) {
    const int64_t num_tasks = sequence->NumLogitsTasks();
    for (int64_t i = 0; i < num_tasks; ++i) {
      logits_tasks_.push_back({sequence.get(), i});
    }
  }
  const int64_t num_tasks = static_cast<int64_t>(logits_tasks_.size());
  const auto process = [this](int64_t i) {
    logits_tasks_[i].sequence->ProcessLogits(logits_tasks_[i].index);
  };
  if (num_tasks * logits_.vocab_size() >= kParallelLogits) {
    pool_->ParallelFor(num_tasks, process);
  } else {
    for (int64_t i = 0; i < num_tasks; ++i) process(i);
  }
}

std::vector<Ended> StepRunner::Deliver(absl::Time now) {
  std::vector<Ended> ended;
  prompts_read_.clear();
  for (auto& sequence : running_) {
    if (sequence->AtSavePoint()) Store(*sequence);
    absl::Status status;
    if (sequence->NotePromptRead(now)) {
      Store(*sequence);
      ShareOut(*sequence);
      status = Pin(*sequence, now);
    }
    if (!status.ok()) {
      ended.push_back({std::move(sequence), FinishReason::kCancelled, status});
      continue;
    }
    const std::optional<FinishReason> reason = sequence->Deliver(now);
    if (!reason.has_value()) continue;
    Store(*sequence);
    ended.push_back({std::move(sequence), *reason, absl::OkStatus()});
  }
  std::erase(running_, nullptr);
  counters_->running.Set(num_running());
  // Not before: what they know now is for the next step.
  for (const std::shared_ptr<SharedPrompt>& shared : prompts_read_) {
    for (const auto& sequence : running_) {
      if (sequence->shared_prompt() != shared) continue;
      sequence->Adopt(shared->known);
      sequence->LeaveSharedPrompt();
    }
  }
  return ended;
}

void StepRunner::ShareOut(Sequence& reader) {
  const std::shared_ptr<SharedPrompt> shared = reader.shared_prompt();
  if (shared == nullptr) return;
  reader.LeaveSharedPrompt();
  shared->known = std::make_shared<KnownPrefix>(
      KnownPrefix{static_cast<int64_t>(reader.tokens_read().size()),
                  reader.state(),
                  {reader.logits().begin(), reader.logits().end()}});
  prompts_read_.push_back(shared);
}

void StepRunner::Replace(const Sequence& reader) {
  const std::shared_ptr<SharedPrompt>& shared = reader.shared_prompt();
  if (shared == nullptr || shared->reader != &reader) return;
  shared->reader = nullptr;
  for (const auto& sequence : running_) {
    if (sequence->shared_prompt() != shared) continue;
    sequence->TakeOver(reader);
    shared->reader = sequence.get();
    return;
  }
}

void StepRunner::Store(const Sequence& sequence) {
  if (!sequence.use_state_cache()) return;
  // A score's logits are gone when it ends, and its state was stored before.
  if (sequence.logits().empty() && !sequence.AtSavePoint()) return;
  state_cache_->Store(sequence.initial_state(), sequence.tokens_read(),
                      sequence.state(), sequence.logits());
}

absl::Status StepRunner::Pin(const Sequence& sequence, absl::Time now) {
  const std::optional<PinRequest>& pin = sequence.pin();
  if (!pin.has_value()) return absl::OkStatus();
  return state_cache_->Pin(pin->name, now + pin->time_to_live,
                           sequence.initial_state(), sequence.tokens_read(),
                           sequence.state(), sequence.logits());
}

std::vector<std::unique_ptr<Sequence>> StepRunner::Remove(
    absl::FunctionRef<bool(const Sequence&)> is_out) {
  std::vector<std::unique_ptr<Sequence>> removed;
  for (auto& sequence : running_) {
    if (is_out(*sequence)) removed.push_back(std::move(sequence));
  }
  std::erase(running_, nullptr);
  for (const auto& sequence : removed) Replace(*sequence);
  counters_->running.Set(num_running());
  return removed;
}

}  // namespace rwkvd
