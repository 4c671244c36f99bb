// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// What a sequence could use of the next step.
struct StepDemand {
  // Tokens that it could process; 0 if it needs no forward pass.
  int64_t tokens = 0;
  // Whether it decodes: it processes the one token that it sampled last.
  bool decoding = false;
  // The number of these tokens that need a row of logits: at most one, the
  // last, or all tokens whose prediction is scored. The others are processed
  // first.
  int64_t logits_rows = 1;
  // The flow of the sequence, which is compared only, and its weight.
  const void* flow = nullptr;
  int32_t weight = 1;
};

// Divides a step among the running sequences.
//
// Decides without locks, clock or memory of earlier steps. Used by the engine's
// thread only.
//
// No sequence starves: if there are fewer sequences than max_tokens and at most
// max_logits_rows, every demand gets at least one token per step (except in
// steps without prefill, see Allocate). Decoding sequences get all that they
// can use. The rest is divided among flows, so that all rows of the step, with
// those of decoding sequences, are in proportion to their weights as far as the
// flows can use them; and evenly among the prefilling sequences of a flow: a
// short prompt is prefilled at once, and a long prompt gets all that short ones
// leave.
class Scheduler {
 public:
  // The maximum rows of a step, in the model and in the logits.
  Scheduler(int64_t max_tokens, int64_t max_logits_rows);

  // The tokens to process of each demand, in the order of `demands`: together
  // at most max_tokens, of which at most max_logits_rows need logits.
  // Prefilling sequences get together at most `max_prefill`, or one token each
  // if that is more; if it is 0, they get none. Valid until the next call.
  absl::Span<const int64_t> Allocate(absl::Span<const StepDemand> demands,
                                     int64_t max_prefill);

 private:
  // Divides `budget` evenly among `sharers_`: sets their allocations_, each
  // at most its limits_.
  void Divide(int64_t budget);
  // Divides `budget` among the flows of `sharers_`, and what each gets evenly
  // among its sequences.
  void DivideByFlow(int64_t budget, absl::Span<const StepDemand> demands);

  // The part of one flow in a step.
  struct FlowPart {
    const void* flow = nullptr;
    int64_t weight = 1;
    int64_t decoding = 0;          // rows of its decoding sequences
    std::vector<int64_t> sharers;  // its prefilling sequences
    int64_t limit = 0;             // the largest part that these can use
    int64_t part = 0;
    // Its part if all rows of the step are divided at `level` rows for each
    // unit of weight. Each of its sequences gets a row.
    int64_t PartAt(int64_t level) const;
  };
  std::vector<FlowPart> PartsOf(absl::Span<const StepDemand> demands) const;

  const int64_t max_tokens_;
  const int64_t max_logits_rows_;
  std::vector<int64_t> allocations_;  // by demand
  std::vector<int64_t> limits_;       // by demand: the largest allocation
  std::vector<int64_t> sharers_;  // indices of the demands that share a budget
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_SCHEDULER_H_
