// SPDX-License-Identifier: Apache-2.0
#include "core/engine/step_runner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// Minimum rows of logits of a step, which bounds the tokens that a score
// request processes in one. More would gain little: each weight is already used
// that often.
constexpr int64_t kMinLogitsRows = 64;

// Minimum logits of a step for which waking other threads pays. The engine's
// thread finishes fewer before the others start.
constexpr int64_t kParallelLogits = 16384;

constexpr size_t kMaxFullSteps = 64;  // remembered

}  // namespace

int64_t StepRunner::MaxLogitsRows(const EngineOptions& options) {
  return std::max<int64_t>(
      options.max_running,
      std::min<int64_t>(options.max_step_tokens, kMinLogitsRows));
}

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
      logits_(MaxLogitsRows(options), model->config().vocab_size),
      branch_states_(options.max_branch_states),
      scheduler_(options.max_step_tokens, MaxLogitsRows(options)),
      prompt_budget_(options.max_decode_slowdown,
                     options.min_step_prompt_tokens, options.max_step_tokens),
      speculation_(options.max_draft_tokens, options.max_decode_slowdown,
                   model) {
  RWKVD_CHECK(Validate(options).ok());
}

void StepRunner::Admit(std::unique_ptr<Sequence> sequence, absl::Time now) {
  RWKVD_CHECK(num_running() < options_.max_running);
  sequence->OccupySlot();
  sequence->SetBranchStates(branch_states_.Take(sequence->NumBranchStates()));
  SharedPrompt* const shared = sequence->shared_prompt().get();
  const bool prefills = shared == nullptr || shared->Claim(sequence.get());
  std::shared_ptr<const KnownPrefix> known;
  if (shared != nullptr && shared->result() != nullptr) {
    known = shared->result();
    sequence->LeaveSharedPrompt();
  } else if (prefills && sequence->cache_use().enabled() &&
             options_.state_cache_bytes > 0) {
    known = LookUp(*sequence, now);
  }
  if (known == nullptr) {
    LoadStart(*sequence, now);
  } else {
    sequence->AdmitFrom(*known, now);
  }
  running_.push_back(std::move(sequence));
  counters_->running.Set(num_running());
}

void StepRunner::LoadStart(Sequence& sequence, absl::Time now) const {
  const SequenceStart& start = sequence.start();
  if (start.snapshot != nullptr) {
    sequence.AdmitFromSnapshot(now);
  } else if (start.state != nullptr) {
    sequence.AdmitFrom(*start.state, now);
  } else {
    sequence.AdmitFrom(initial_states_[start.initial_state].state, now);
  }
}

std::shared_ptr<const KnownPrefix> StepRunner::LookUp(Sequence& sequence,
                                                      absl::Time now) {
  state_cache_->Expire(now);
  std::shared_ptr<const KnownPrefix> known = sequence.cache_use().LookUp(
      *state_cache_, sequence.prompt(), options_.state_cache_interval);
  counters_->state_cache_queries.Add(1);
  counters_->state_cache_hits.Add(known == nullptr ? 0 : 1);
  return known;
}

std::vector<EndedSequence> StepRunner::Step() {
  const absl::Time begin = options_.clock();
  const StepSize size = Plan(begin);
  const int64_t num_tokens = size.decoded + size.prefilled + size.drafted;
  const int64_t num_sequences = num_running();
  if (!chunks_.empty()) model_->Forward(chunks_, workspace_);
  if (options_.check_model != nullptr) {
    const absl::Status status = options_.check_model();
    if (!status.ok()) return EndAll(status);
  }
  ProcessLogits();
  const absl::Time now = options_.clock();
  RecordStepTime(size, PositiveSeconds(now - begin));
  // A step in which all predictions were known does not count as one.
  if (num_tokens > 0) {
    counters_->steps.Add(1);
    counters_->ffn_sparsity_ppm.Set(
        static_cast<int64_t>(workspace_.zero_share() * 1e6));
    counters_->step_seconds.Observe(PositiveSeconds(now - begin));
    counters_->batch_size.Observe(static_cast<double>(num_sequences));
    counters_->batch_tokens.Observe(static_cast<double>(num_tokens));
  }
  return SendResults(now);
}

std::vector<EndedSequence> StepRunner::EndAll(const absl::Status& status) {
  std::vector<EndedSequence> ended;
  for (auto& sequence : Remove([](const Sequence&) { return true; })) {
    ended.push_back({std::move(sequence), FinishReason::kModelChanged, status});
  }
  return ended;
}

void StepRunner::RecordStepTime(const StepSize& size, double seconds) {
  if (size.prefilled > 0) {
    prefill_rate_.Observe(size.prefilled, seconds);
  } else {
    speculation_.Observe(seconds);
  }
  if (size.drafted > 0) return;
  if (size.is_limited) {
    prompt_budget_.Observe(size.decoded, size.prefilled, seconds);
  } else if (size.decoded == 0 && size.prefilled == options_.max_step_tokens) {
    full_step_seconds_.push_front(seconds);
    if (full_step_seconds_.size() > kMaxFullSteps) {
      full_step_seconds_.pop_back();
    }
  }
}

absl::Duration StepRunner::MinTimeFor(const Sequence& sequence) {
  if (full_step_seconds_.empty()) return absl::ZeroDuration();
  const double seconds =
      *std::min_element(full_step_seconds_.begin(), full_step_seconds_.end());
  const int64_t num_unknown =
      sequence.NumRequiredTokens() -
      sequence.cache_use().NumKnownTokens(*state_cache_, sequence.prompt());
  return absl::Seconds(seconds * static_cast<double>(num_unknown) /
                       options_.max_step_tokens);
}

StepRunner::StepSize StepRunner::Plan(absl::Time now) {
  StepSize size;
  demands_.clear();
  for (const auto& sequence : running_) {
    StepDemand& demand = demands_.emplace_back(sequence->NextDemand());
    demand.flow = sequence->flow_use();
    demand.weight = sequence->flow().weight;
    demand.until_deadline = prefill_rate_.TokensIn(sequence->deadline() - now);
    if (demand.decoding) size.decoded += demand.tokens;
  }
  size.is_limited = scheduler_.DecodesInEvenSharing(demands_);
  const int64_t max_prefill =
      size.is_limited ? prompt_budget_.Next() : options_.max_step_tokens;
  const absl::Span<const int64_t> allocations =
      scheduler_.Allocate(demands_, max_prefill);
  size.drafted =
      speculation_.Plan(running_, demands_,
                        std::min(options_.max_step_tokens - size.decoded,
                                 MaxLogitsRows(options_) - num_running()));
  logits_.Clear();
  chunks_.clear();
  for (size_t i = 0; i < running_.size(); ++i) {
    running_[i]->Plan(allocations[i], &logits_, &chunks_);
    if (!demands_[i].decoding) size.prefilled += allocations[i];
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

std::vector<EndedSequence> StepRunner::SendResults(absl::Time now) {
  std::vector<EndedSequence> ended;
  completed_prompts_.clear();
  for (auto& sequence : running_) {
    const bool completes_prompt = sequence->MarkPrefilled(now);
    if (completes_prompt) SetSharedResult(*sequence);
    if (!sequence->has_finite_logits()) {
      const absl::Status error = sequence->NonFiniteLogitsError();
      if (absl::IsInternal(error) && options_.on_non_finite_logits != nullptr) {
        options_.on_non_finite_logits();
      }
      ended.push_back({std::move(sequence), FinishReason::kFailed, error});
      continue;
    }
    if (sequence->IsAtSavePoint()) Store(*sequence);
    absl::Status status;
    if (completes_prompt) status = StorePrompt(*sequence, now);
    if (!status.ok()) {
      ended.push_back({std::move(sequence), FinishReason::kCancelled, status});
      continue;
    }
    const std::optional<FinishReason> reason = sequence->SendResults(now);
    if (!reason.has_value()) continue;
    Store(*sequence);
    ended.push_back({std::move(sequence), *reason, absl::OkStatus()});
  }
  std::erase(running_, nullptr);
  counters_->running.Set(num_running());
  // After the loop, so that nothing of this step is sent to samples that were
  // not part of it.
  ContinueWaitingSamples();
  return ended;
}

void StepRunner::Store(const Sequence& sequence) {
  sequence.cache_use().Store(*state_cache_, sequence.processed_tokens(),
                             sequence.state(), sequence.logits());
}

absl::Status StepRunner::StorePrompt(Sequence& sequence, absl::Time now) {
  Store(sequence);
  return sequence.cache_use().Pin(*state_cache_, now,
                                  sequence.processed_tokens(), sequence.state(),
                                  sequence.logits());
}

void StepRunner::SetSharedResult(Sequence& leader) {
  const std::shared_ptr<SharedPrompt> shared = leader.shared_prompt();
  if (shared == nullptr) return;
  leader.LeaveSharedPrompt();
  if (shared.use_count() == 1) return;  // no other sample waits
  completed_prompts_.push_back(shared);
  std::optional<BranchStates::Lease> room = branch_states_.TakeSpare(1);
  if (!room.has_value()) return shared->Release();
  shared->SetResult(std::make_shared<KnownPrefix>(KnownPrefix{
                        static_cast<int64_t>(leader.processed_tokens().size()),
                        leader.state(),
                        {leader.logits().begin(), leader.logits().end()}}),
                    *std::move(room));
}

void StepRunner::ContinueWaitingSamples() {
  for (const std::shared_ptr<SharedPrompt>& shared : completed_prompts_) {
    for (const auto& sequence : running_) {
      if (sequence->shared_prompt() != shared) continue;
      if (shared->result() == nullptr) {
        shared->Claim(sequence.get());
        break;
      }
      sequence->ContinueFrom(*shared->result());
      sequence->LeaveSharedPrompt();
    }
  }
}

void StepRunner::ReplaceLeader(const Sequence& leader) {
  const std::shared_ptr<SharedPrompt>& shared = leader.shared_prompt();
  if (shared == nullptr || !shared->IsLedBy(&leader)) return;
  shared->Release();
  for (const auto& sequence : running_) {
    if (sequence->shared_prompt() != shared) continue;
    sequence->TakeOverPrefill(leader);
    shared->Claim(sequence.get());
    return;
  }
}

std::vector<std::unique_ptr<Sequence>> StepRunner::Remove(
    absl::FunctionRef<bool(const Sequence&)> matches) {
  std::vector<std::unique_ptr<Sequence>> removed;
  for (auto& sequence : running_) {
    if (matches(*sequence)) removed.push_back(std::move(sequence));
  }
  std::erase(running_, nullptr);
  for (const auto& sequence : removed) ReplaceLeader(*sequence);
  counters_->running.Set(num_running());
  return removed;
}

}  // namespace rwkvd
