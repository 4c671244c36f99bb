// SPDX-License-Identifier: Apache-2.0
#include "core/engine/draft/drafter.h"

#include <algorithm>

namespace rwkvd {
namespace {

// How much one verified token changes what is known about those before it.
constexpr double kLearningRate = 0.125;

// How far a guess that nobody verified moves the acceptance back to the prior:
// a source that was wrong for a while gets another chance.
constexpr double kForget = 0.01;

// So that a source that was always wrong is still known to be so.
constexpr double kMinAcceptance = 1e-3;

}  // namespace

int64_t Drafter::Guess(absl::Span<const int32_t> tokens, int64_t max) {
  guess_.clear();
  if (max <= 0) return 0;
  for (const auto& source : sources_) {
    const DraftGuess guess = source->Guess(tokens, max, &guess_);
    if (guess_.empty()) continue;
    kind_ = static_cast<size_t>(source->kind());
    grade_ = static_cast<size_t>(guess.grade);
    double& acceptance = acceptance_[kind_][grade_];
    if (acceptance == 0) acceptance = guess.prior;
    acceptance += kForget * (guess.prior - acceptance);
    break;
  }
  return credit_ < 0 ? 0 : static_cast<int64_t>(guess_.size());
}

void Drafter::Settle(int64_t num_generated, int64_t num_right, bool wrong) {
  credit_ = std::min(
      kMaxCredit, credit_ + kRefill + static_cast<double>(num_generated - 1));
  double& acceptance = acceptance_[kind_][grade_];
  for (int64_t i = 0; i < num_right; ++i) {
    acceptance += kLearningRate * (1 - acceptance);
  }
  if (wrong) acceptance -= kLearningRate * acceptance;
  if (num_right > 0 || wrong) acceptance = std::max(acceptance, kMinAcceptance);
  states_ = {};
}

}  // namespace rwkvd
