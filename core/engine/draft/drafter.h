// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_DRAFT_DRAFTER_H_
#define RWKVD_CORE_ENGINE_DRAFT_DRAFTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/draft/draft_source.h"
#include "core/model/state.h"

namespace rwkvd {

// The drafts of one sequence: asks its sources, and learns how often they are
// right.
//
// Keeps an account of steps, in units of a step without drafts: verifying
// tokens costs part of a step, an accepted token saves one. An overdrawn
// account allows no drafts. It is filled slowly by each generated token, so a
// sequence whose drafts are always wrong loses about kRefill of its time.
//
// Owned by the sequence. Engine thread only, except for draft() and states().
class Drafter {
 public:
  // What is in the account at first, and what a generated token adds.
  static constexpr double kFirstCredit = 0.25;
  static constexpr double kRefill = 0.01;
  static constexpr double kMaxCredit = 1;

  // The sources in the order in which they are asked.
  explicit Drafter(std::vector<std::unique_ptr<DraftSource>> sources)
      : sources_(std::move(sources)) {}

  // Asks for at most `max` tokens that follow `tokens`. Returns the number of
  // guessed tokens; 0 if there is no guess or the account is overdrawn.
  int64_t Guess(absl::Span<const int32_t> tokens, int64_t max);
  // The probability that a token of the guess is right if those before are.
  double acceptance() const { return acceptance_[kind_][grade_]; }

  // Makes the first states.size() guessed tokens the draft of the step. The
  // states, one after each token before a guessed one, are valid until Settle.
  void Use(absl::Span<State> states) { states_ = states; }
  // The draft of this step; empty if there is none.
  absl::Span<const int32_t> draft() const {
    return absl::MakeConstSpan(guess_).first(states_.size());
  }
  absl::Span<State> states() const { return states_; }
  DraftKind kind() const { return static_cast<DraftKind>(kind_); }

  // Takes from the account what the draft has cost, in steps.
  void Pay(double cost) { credit_ -= cost; }
  // Ends the step: it has generated `num_generated` tokens, at least one, and
  // has verified the draft up to `num_right` right tokens, followed by a wrong
  // one if `wrong`.
  void Settle(int64_t num_generated, int64_t num_right, bool wrong);

 private:
  using Grades = std::array<double, DraftGuess::kNumGrades>;

  std::vector<std::unique_ptr<DraftSource>> sources_;
  // By kind and grade; 0: not known, so the next guess sets it to its prior.
  std::array<Grades, kNumDraftKinds> acceptance_ = {};
  double credit_ = kFirstCredit;

  // Of this step.
  std::vector<int32_t> guess_;
  size_t kind_ = 0;
  size_t grade_ = 0;
  absl::Span<State> states_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_DRAFT_DRAFTER_H_
