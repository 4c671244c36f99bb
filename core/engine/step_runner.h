// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_STEP_RUNNER_H_
#define RWKVD_CORE_ENGINE_STEP_RUNNER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/engine/branch_states.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/engine_counters.h"
#include "core/engine/engine_options.h"
#include "core/engine/named_state.h"
#include "core/engine/schedule/prefill_rate.h"
#include "core/engine/schedule/prompt_budget.h"
#include "core/engine/schedule/scheduler.h"
#include "core/engine/sequence/logits_buffer.h"
#include "core/engine/sequence/sequence.h"
#include "core/engine/sequence/shared_prompt.h"
#include "core/engine/sink.h"
#include "core/engine/speculation.h"
#include "core/model/model.h"

namespace rwkvd {

// A sequence that has ended, with what Sequence::Finish must report.
struct EndedSequence {
  std::unique_ptr<Sequence> sequence;
  FinishReason reason = FinishReason::kCancelled;
  absl::Status status;
};

// Runs the steps of the running sequences: each step is one forward pass of the
// model for all of them.
//
// Owned by the engine; engine thread only. EngineOptions bound the size of a
// step, and its buffers are allocated once.
class StepRunner {
 public:
  // The rows of logits that a step computes at most.
  static int64_t MaxLogitsRows(const EngineOptions& options);

  // `options` are valid. The other arguments outlive the runner. Sequences
  // refer to `initial_states` by index.
  StepRunner(const EngineOptions& options, const Model* model,
             absl::Span<const NamedState> initial_states,
             StateCache* state_cache, ThreadPool* pool,
             EngineCounters* counters);

  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }

  // A lower bound on the time in which `sequence`, if it was admitted now,
  // could process its required tokens, without those that the state cache
  // knows. Assumes the speed of the fastest recent step that only prefilled and
  // was full. Zero if there was none.
  absl::Duration MinTimeFor(const Sequence& sequence);

  // Loads the sequence's start state without scheduling the sequence.
  void LoadStart(Sequence& sequence, absl::Time now) const;

  // Whether there are enough branch states to admit `sequence`.
  bool HasBranchStatesFor(const Sequence& sequence) const {
    return branch_states_.Has(sequence.NumBranchStates());
  }

  // Lets `sequence` take part from the next step on, starting with the longest
  // prefix of its prompt that the state cache knows. Requires a free slot and
  // HasBranchStatesFor.
  void Admit(std::unique_ptr<Sequence> sequence, absl::Time now);

  // Runs one step and sends its results to the sinks. Returns the sequences
  // that are complete; the caller finishes them.
  std::vector<EndedSequence> Step();

  // Removes and returns the sequences for which `matches` is true.
  std::vector<std::unique_ptr<Sequence>> Remove(
      absl::FunctionRef<bool(const Sequence&)> matches);

 private:
  // One task of Sequence::ProcessLogits.
  struct LogitsTask {
    Sequence* sequence;
    int64_t index;
  };

  // The tokens of a step.
  struct StepSize {
    int64_t decoded = 0;
    int64_t prefilled = 0;
    int64_t drafted = 0;      // in addition to those that are decoded
    bool is_limited = false;  // what is prefilled, by prompt_budget_
  };

  // The longest known prefix of the sequence's prompt, or null.
  std::shared_ptr<const KnownPrefix> LookUp(Sequence& sequence, absl::Time now);
  // Plans the step's chunks. Sequences that decode limit what is prefilled, but
  // not those that even sharing would still prefill. They have their tokens
  // earlier than with even sharing anyway; if they limited prefill, they would
  // delay the prompts that let them go first.
  StepSize Plan(absl::Time now);
  // Ends all running sequences without results of this step.
  std::vector<EndedSequence> EndAll(const absl::Status& status);
  void ProcessLogits();
  std::vector<EndedSequence> SendResults(absl::Time now);
  void Store(const Sequence& sequence);
  // Stores and pins the prompt that the sequence has just completed.
  absl::Status StorePrompt(Sequence& sequence, absl::Time now);
  // Hands the result of the prompt that `leader` has just completed to the
  // other samples of the request.
  void SetSharedResult(Sequence& leader);
  // Lets the samples that waited for a shared prompt continue from its result,
  // or one of them prefill the prompt if there was no room for the result.
  void ContinueWaitingSamples();
  // Makes another sample continue the prefill of the shared prompt that the
  // removed `leader` led, if it did.
  void ReplaceLeader(const Sequence& leader);
  void RecordStepTime(const StepSize& size, double seconds);

  const EngineOptions options_;
  const Model* const model_;
  const absl::Span<const NamedState> initial_states_;
  StateCache* const state_cache_;
  ThreadPool* const pool_;
  EngineCounters* const counters_;

  Workspace workspace_;
  LogitsBuffer logits_;
  BranchStates branch_states_;  // outlives the sequences
  Scheduler scheduler_;
  PromptBudget prompt_budget_;
  PrefillRate prefill_rate_;
  Speculation speculation_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in order of admission

  // Seconds of the last full steps without decoding sequences, newest first.
  std::deque<double> full_step_seconds_;

  // Of the current step.
  std::vector<StepDemand> demands_;
  std::vector<Chunk> chunks_;
  std::vector<LogitsTask> logits_tasks_;
  std::vector<std::shared_ptr<SharedPrompt>> completed_prompts_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_STEP_RUNNER_H_
