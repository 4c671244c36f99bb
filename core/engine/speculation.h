// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SPECULATION_H_
#define RWKVD_CORE_ENGINE_SPECULATION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/draft/draft_budget.h"
#include "core/engine/draft/drafter.h"
#include "core/engine/schedule/step_demand.h"
#include "core/engine/sequence/sequence.h"
#include "core/model/model.h"
#include "core/model/state.h"

namespace rwkvd {

// Chooses the draft tokens of each step. A sequence that decodes has sampled
// one token, which it processes in the next step. A draft is a guess of the
// tokens after it. The step processes them, too; then the sequence samples one
// token after the other from their logits, as it would without the draft, and
// keeps the state after the last draft token that it has really sampled. So the
// output is the same, and each right guess saves a step.
//
// Owned by the step runner; engine thread only.
class Speculation {
 public:
  // Of a step, `max_tokens` draft tokens at most are verified; with 0 it does
  // nothing. See DraftBudget for `max_slowdown`. `model` outlives it.
  Speculation(int64_t max_tokens, double max_slowdown, const Model* model);

  // Lets the sequences that decode in this step guess, and chooses their
  // drafts: at most `max_tokens` tokens. Returns their number. While a sequence
  // prefills there are none: the rows of its prompt would cost more time.
  int64_t Plan(absl::Span<const std::unique_ptr<Sequence>> running,
               absl::Span<const StepDemand> demands, int64_t max_tokens);

  // Records that the step that Plan has planned took `seconds`. To be called
  // before the sequences send their results, unless the step prefilled.
  void Observe(double seconds);

 private:
  // Gives the drafters their tokens and states.
  void Use(absl::Span<const int64_t> num_tokens);

  const int64_t max_tokens_;
  const Model* const model_;
  DraftBudget budget_;
  std::vector<State> states_;  // one for each draft token of a step

  // Of the current step.
  int64_t num_decoding_ = 0;
  int64_t num_drafted_ = 0;
  std::vector<Drafter*> drafters_;
  std::vector<DraftBudget::Guess> guesses_;  // by drafter
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SPECULATION_H_
