// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/schedule/even_sharing.h"
#include "core/engine/schedule/prompt_policy.h"
#include "core/engine/schedule/step_demand.h"

namespace rwkvd {

// Divides a step among the running sequences.
//
// Decoding sequences get all that they can use. The rest is divided twice:
// first among flows, so that all rows of the step, with those of decoding
// sequences, are in proportion to their weights as far as the flows can use
// them; then among the prompts of each flow, by PromptPolicy.
//
// No flow starves: its prompts get at least one row in each step (except in
// steps without prefill, see Allocate), even if its decoding sequences have
// more than its part. Within a flow, PromptPolicy bounds the waiting.
//
// Decides without locks and clock: allocations depend only on the demands of
// this step and of earlier ones. Used by the engine's thread only.
class Scheduler {
 public:
  // The maximum rows of a step, in the model and in the logits.
  Scheduler(int64_t max_tokens, int64_t max_logits_rows);

  // The tokens to process of each demand, in the order of `demands`, which are
  // fewer than max_tokens and at most max_logits_rows: together at most
  // max_tokens, of which at most max_logits_rows need logits. Prefilling
  // sequences get together at most `max_prefill`, or one token for each prompt
  // of `demands` that even sharing would prefill, if that is more. If
  // max_prefill is 0, they get none. Valid until the next call.
  absl::Span<const int64_t> Allocate(absl::Span<const StepDemand> demands,
                                     int64_t max_prefill);

  // Whether a sequence of `demands` decodes that would also decode with even
  // sharing. The others are early: even sharing would still prefill them.
  bool DecodesInEvenSharing(absl::Span<const StepDemand> demands) const;

 private:
  // The part of one flow in a step.
  struct FlowPart {
    const void* flow = nullptr;
    int64_t weight = 1;
    int64_t decoding = 0;          // rows of its decoding sequences
    std::vector<int64_t> prompts;  // indices of its prefilling sequences
    // What these can use: tokens, and rows of logits in addition to one each.
    int64_t tokens = 0;
    int64_t more_logits = 0;
  };
  std::vector<FlowPart> PartsOf(absl::Span<const StepDemand> demands) const;
  // The rows of the step for prefilling sequences.
  int64_t PrefillBudget(absl::Span<const StepDemand> demands,
                        int64_t max_prefill) const;
  // Allocates `budget` rows to the prefilling sequences.
  void DividePrefill(absl::Span<const FlowPart> parts, int64_t budget,
                     absl::Span<const StepDemand> demands);

  const int64_t max_tokens_;
  const int64_t max_logits_rows_;
  PromptPolicy prompt_policy_;
  EvenSharing even_sharing_;
  std::vector<int64_t> allocations_;  // by demand
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_
