// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_POLICY_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_POLICY_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/schedule/step_demand.h"

namespace rwkvd {

// The policy by which the prompts of one flow share the rows that the flow has
// in a step. Score requests count as prompts.
//
//   1. The prompt with the fewest remaining tokens comes first, and gets all
//      rows that it can use. Then follows the next one.
//   2. But some prompts may be behind: they have got less than half of their
//      fair share. When the order reaches a prompt that arrived after the
//      oldest of these, half of the rows that are left then, rounded down, are
//      for the prompts that are behind, the oldest first.
//
// The fair share of a prompt is what even sharing would give it: in each step,
// the rows divided by the number of prompts.
//
// Rule 1 gives the shortest mean time to first token. Rule 2 is the aging:
// while a prompt is behind, at least half of the rows go to it or to prompts
// that did not arrive later, as far as they can use them. So its wait is
// bounded by twice their tokens and its own, whatever arrives later; in effect,
// by about twice the time that it would take with its fair share. Rule 2 does
// not delay prompts that arrive together: they are prefilled one after the
// other.
//
// In rule 1, tokens are rounded up to steps, and of prompts with as many steps
// the one that had the fewest tokens on arrival comes first, then the one that
// was submitted first. So the last tokens of a long prompt do not delay a short
// one. Prompts whose deadline is near come before all others, the earliest
// deadline first. A deadline is near if the steps until then are expected to
// process at least the remaining tokens of the prompt, but less than kNear
// times as many. If they are fewer, the deadline cannot be met and does not
// count.
//
// Owned by Scheduler; engine thread only. Has no clock.
class PromptPolicy {
 public:
  static constexpr int64_t kNear = 4;

  // The rows of a step that the prompts of a flow get.
  struct Rows {
    int64_t tokens = 0;
    // The rows of logits, in addition to one for each prompt.
    int64_t more_logits = 0;
  };

  // Call at the beginning of each step: adds the prompts that are new in
  // `demands`, and forgets those that are complete or have ended.
  void BeginStep(absl::Span<const StepDemand> demands);

  // Sets the allocations of `prompts`, which are the indices of all demands of
  // one flow that prefill. They are 0 before.
  void Divide(Rows rows, absl::Span<const int64_t> prompts,
              absl::Span<const StepDemand> demands,
              absl::Span<int64_t> allocations);

 private:
  // What the policy knows of a prompt.
  struct Account {
    uint64_t arrival = 0;    // the step in which it was new
    uint64_t last_step = 0;  // in which it was seen
    int64_t got = 0;         // rows
    int64_t fair_share = 0;  // in units of 1 / kUnits rows

    bool IsBehind() const { return 2 * got * kUnits < fair_share; }
  };
  struct Prompt;  // a demand with its account

  static constexpr int64_t kUnits = 1024;

  // The prompts in the order of rule 1, for steps of `num_rows`.
  std::vector<Prompt> InOrder(int64_t num_rows,
                              absl::Span<const int64_t> prompts,
                              absl::Span<const StepDemand> demands);
  // Those of `prompts` that are behind, the oldest first.
  static std::vector<Prompt> BehindOf(absl::Span<const Prompt> prompts);

  std::map<uint64_t, Account> accounts_;  // by StepDemand::prompt
  uint64_t step_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_POLICY_H_
