// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_BUDGET_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_BUDGET_H_

#include <cstdint>
#include <deque>
#include <optional>

namespace rwkvd {

// The number of prompt tokens that a step may prefill while other sequences
// decode, so that the time between their tokens stays even: as many as keep the
// step within `max_slowdown` times its duration without prefill.
//
// That duration is the median of the five remembered decode-only steps of the
// most similar size, newest first. It is kept up to date while prompts keep
// arriving: one step in kStepsBetweenMeasurements + 1 prefills nothing. The
// budget itself is adjusted a little after each step, because the cost of a
// token is unknown and not constant: the first few tokens cost little, since
// the weights are read anyway.
//
// Used by the engine's thread only. Has no clock: seconds are arguments, and
// results do not depend on them, only the sizes of steps.
class PromptBudget {
 public:
  static constexpr int64_t kStepsBetweenMeasurements = 32;

  // `max_slowdown` > 1. The budget is at least `min_tokens` even if they slow a
  // step down further, so that prompts always make progress.
  PromptBudget(double max_slowdown, int64_t min_tokens, int64_t max_tokens);

  // Tokens to prefill in the next step in which some, but not all, sequences
  // decode: 0, or in [min_tokens, max_tokens].
  int64_t Next() const;

  // Records that a step took `seconds` in which `num_decoding` sequences, at
  // least one, decoded and `num_prefilled` tokens were prefilled.
  void Observe(int64_t num_decoding, int64_t num_prefilled, double seconds);

 private:
  struct DecodeStep {
    int64_t num_decoding = 0;
    double seconds = 0;
  };

  // The duration of the step without prefill. None before the first decode-only
  // step.
  std::optional<double> DecodeSeconds(int64_t num_decoding) const;

  const double max_slowdown_;
  const double min_tokens_;
  const double max_tokens_;
  double tokens_;                        // the budget
  std::deque<DecodeStep> decode_steps_;  // newest first
  int64_t since_measured_ = 0;  // steps with prefill since a decode-only one
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_PROMPT_BUDGET_H_
