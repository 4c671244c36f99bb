// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_DRAFT_DRAFT_BUDGET_H_
#define RWKVD_CORE_ENGINE_DRAFT_DRAFT_BUDGET_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// How many draft tokens a step verifies, and of which sequences: as many as
// give the most tokens per second.
//
// Remembers how long steps took by the number of sequences that decode and of
// draft tokens. Verifying one more token is worth it if the time that it adds
// is a smaller part of the step than the tokens that it adds in the mean. The
// first few rows of a step cost little, since the weights are read anyway; with
// many sequences each row costs time, and no drafts pay. A number of draft
// tokens that was not measured yet counts as the next smaller one that was, so
// that it is tried, but is at most twice the largest one that was. If several
// sequences decode, drafts lengthen a step only as far as prefill may: those
// whose guesses are right must not slow down the others more than a prompt
// would.
//
// Engine thread only. Has no clock: seconds are arguments, and results do not
// depend on them, only the sizes of steps.
class DraftBudget {
 public:
  // With more decoding sequences, nothing is drafted.
  static constexpr int64_t kMaxDecoding = 16;
  // After so many steps without such a measurement, steps without drafts are
  // measured again, and what is known about steps with drafts is forgotten.
  static constexpr int64_t kMaxPlainAge = 64;
  static constexpr int64_t kMaxDraftAge = 1024;
  // The least part by which drafts must raise the tokens per second, in the
  // mean, in order to be verified.
  static constexpr double kMinGain = 0.02;

  // A guess of one sequence.
  struct Guess {
    int64_t num_tokens = 0;
    double acceptance = 0;  // of each token if those before are right, [0, 1]
  };

  // `max_tokens` >= 0 is the most draft tokens of a step, and `max_slowdown` >
  // 1 how many times longer it may take with them if several sequences decode.
  DraftBudget(int64_t max_tokens, double max_slowdown);

  // The tokens to verify of each guess, the first ones of it: together at most
  // `max_tokens`. `num_decoding` sequences decode in the step, at least as many
  // as there are guesses. Valid until the next call.
  absl::Span<const int64_t> Choose(int64_t num_decoding,
                                   absl::Span<const Guess> guesses,
                                   int64_t max_tokens);

  // Records that a step without prefill took `seconds`, in which `num_decoding`
  // sequences decoded and `num_drafted` draft tokens were verified.
  void Observe(int64_t num_decoding, int64_t num_drafted, double seconds);

  // The time that verifying `num_drafted` tokens adds to a step, divided by the
  // duration of the step without them. Never negative.
  double Cost(int64_t num_decoding, int64_t num_drafted) const;

 private:
  struct Duration {
    double seconds = 0;  // 0: not measured
    int64_t step = 0;    // of the last measurement
  };
  // The durations of steps with one number of decoding sequences, by the number
  // of draft tokens.
  struct Durations {
    std::vector<Duration> by_drafted;
    int64_t step = 0;  // the number of steps so far
  };

  // The largest number of draft tokens, at most `num_drafted`, of which the
  // duration is known.
  static int64_t LargestKnown(const Durations& durations, int64_t num_drafted);
  // The duration of a step with that number.
  static double SecondsOf(const Durations& durations, int64_t num_drafted);
  static bool IsPlainDue(const Durations& durations);

  const int64_t max_tokens_;
  const double max_slowdown_;
  std::array<Durations, kMaxDecoding + 1> durations_;
  std::vector<int64_t> chosen_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_DRAFT_DRAFT_BUDGET_H_
