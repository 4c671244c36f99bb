// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_BUDGET_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_BUDGET_H_

#include <cstdint>
#include <deque>
#include <optional>

namespace rwkvd {

// How many tokens of prompts a step may read while other sequences decode, so
// that the time between two tokens of those stays even: as many as keep the
// step within `max_slowdown` times what it would take without them.
//
// The latter is learnt from steps that only decode: the median of the five
// nearest in size, newest first. So that it stays known while prompts keep
// arriving, one step in kStepsBetweenMeasurements + 1 reads nothing. From there
// the budget is steered, by a little after each step: what a token costs is not
// known and need not be constant, for the first few hide behind the reading of
// the weights.
//
// Owned by the engine's thread. Holds no clock: seconds come as arguments, and
// any seconds give the same results, only in steps of other sizes.
class PromptBudget {
 public:
  static constexpr int64_t kStepsBetweenMeasurements = 32;

  // `max_slowdown` > 1. Where so few tokens would already stretch the step
  // further, `min_tokens` are read all the same, for prompts must make way too.
  PromptBudget(double max_slowdown, int64_t min_tokens, int64_t max_tokens);

  // Tokens to read in the next step in which some, but not all, sequences
  // decode: 0, or in [min_tokens, max_tokens].
  int64_t Next() const;

  // A step in which `num_decoding`, at least one, decoded and `num_read` tokens
  // were read took `seconds`.
  void Observe(int64_t num_decoding, int64_t num_read, double seconds);

 private:
  struct DecodeStep {
    int64_t num_decoding = 0;
    double seconds = 0;
  };

  // What the step would take if it read nothing. Nothing before one was seen.
  std::optional<double> DecodeSeconds(int64_t num_decoding) const;

  const double max_slowdown_;
  const double min_tokens_;
  const double max_tokens_;
  double tokens_;                        // the budget
  std::deque<DecodeStep> decode_steps_;  // newest first
  int64_t since_measured_ = 0;  // mixed steps since one that only decoded
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_BUDGET_H_
