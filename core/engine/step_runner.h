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
#include "core/engine/cache/state_cache.h"
#include "core/engine/engine_counters.h"
#include "core/engine/engine_options.h"
#include "core/engine/named_state.h"
#include "core/engine/request.h"
#include "core/engine/schedule/prompt_budget.h"
#include "core/engine/schedule/scheduler.h"
#include "core/engine/sequence/logits_buffer.h"
#include "core/engine/sequence/sequence.h"
#include "core/engine/sink.h"
#include "core/model/model.h"

namespace rwkvd {

// A sequence that takes part no more, and what its sink is to be told.
struct Ended {
  std::unique_ptr<Sequence> sequence;
  FinishReason reason = FinishReason::kCancelled;
  absl::Status status;
};

// The sequences that share each step, and the step itself: one forward pass of
// the model for all of them.
//
// Owned by the engine; engine thread only. Whatever takes place in a step is
// bounded by EngineOptions, and its buffers are allocated once.
class StepRunner {
 public:
  // `options` are valid. `model`, `initial_states`, which sequences choose by
  // index, `state_cache`, `pool` and `counters` outlive it.
  StepRunner(const EngineOptions& options, const Model* model,
             absl::Span<const NamedState> initial_states,
             StateCache* state_cache, ThreadPool* pool,
             EngineCounters* counters);

  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }

  // The time in which `sequence`, if it joined now, could at best have read
  // what it needs, less what the state cache knows of its prompt: at the speed
  // of the fastest full step of late in which nobody decoded. Zero as long as
  // there was none.
  absl::Duration LeastTimeFor(const Sequence& sequence);

  // Gives it what it starts from, though it takes no part.
  void Begin(Sequence& sequence, absl::Time now) const;

  // Lets `sequence` take part from the next step on, with what the state cache
  // knows of its prompt. There must be a free place.
  void Join(std::unique_ptr<Sequence> sequence, absl::Time now);

  // Runs one step and tells the sinks what has come of it. Returns the
  // sequences that are complete, whose sinks have not been told the end.
  std::vector<Ended> Step();

  // Takes out the sequences that `is_out` picks.
  std::vector<std::unique_ptr<Sequence>> Remove(
      absl::FunctionRef<bool(const Sequence&)> is_out);

 private:
  // A piece of Sequence::ProcessLogits.
  struct LogitsTask {
    Sequence* sequence;
    int64_t index;
  };

  // The longest known prefix of its prompt, if any; plans its save points.
  std::shared_ptr<const KnownPrefix> LookUp(Sequence& sequence, absl::Time now);
  // What a step consists of, in tokens.
  struct StepSize {
    int64_t decoded = 0;
    int64_t read = 0;
  };

  // Lets the other samples of its request go on from the prompt it has read.
  void ShareOut(Sequence& reader);
  // Lets another sample read on in its place.
  void Replace(const Sequence& reader);
  // Shares the step out.
  StepSize Plan();
  // Runs what the sequences make of their logits, side by side.
  void ProcessLogits();
  std::vector<Ended> Deliver(absl::Time now);
  void Store(const Sequence& sequence);
  // Pins the prompt that was just read, if that was asked for.
  absl::Status Pin(const Sequence& sequence, absl::Time now);
  void NoteStep(const StepSize& size, double seconds);

  const EngineOptions options_;
  const Model* const model_;
  const absl::Span<const NamedState> initial_states_;
  StateCache* const state_cache_;
  ThreadPool* const pool_;
  EngineCounters* const counters_;

  Workspace workspace_;
  LogitsBuffer logits_;
  Scheduler scheduler_;
  PromptBudget prompt_budget_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in order of joining

  std::deque<double> full_steps_;  // seconds of the last few, newest first

  // Of the current step.
  std::vector<StepDemand> demands_;
  std::vector<Chunk> chunks_;
  std::vector<LogitsTask> logits_tasks_;
  std::vector<std::shared_ptr<SharedPrompt>> prompts_read_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_STEP_RUNNER_H_
