// SPDX-License-Identifier: Apache-2.0
#include "core/engine/draft/draft_budget.h"

#include <algorithm>
#include <cstddef>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// The weight of a new measurement, and the largest factor by which it differs
// from what is known: a step that was slow for another reason must not change
// much.
constexpr double kRate = 0.25;
constexpr double kMaxChange = 2;

}  // namespace

DraftBudget::DraftBudget(int64_t max_tokens, double max_slowdown)
    : max_tokens_(max_tokens), max_slowdown_(max_slowdown) {
  RWKVD_CHECK(max_tokens >= 0 && max_slowdown > 1);
  for (Durations& durations : durations_) {
    durations.by_drafted.resize(static_cast<size_t>(max_tokens) + 1);
  }
}

absl::Span<const int64_t> DraftBudget::Choose(int64_t num_decoding,
                                              absl::Span<const Guess> guesses,
                                              int64_t max_tokens) {
  chosen_.assign(guesses.size(), 0);
  if (num_decoding > kMaxDecoding) return chosen_;
  const Durations& durations = durations_[num_decoding];
  if (IsPlainDue(durations)) return chosen_;
  // Adds tokens in the order of the probability that they are accepted, and
  // keeps the number of them with the most tokens per second.
  std::vector<int64_t> added(guesses.size(), 0);
  std::vector<double> next;  // probability of the next token of each guess
  for (const Guess& guess : guesses) next.push_back(guess.acceptance);
  double tokens = static_cast<double>(num_decoding);
  const double plain = SecondsOf(durations, 0);
  double best = tokens * (1 + kMinGain) / plain;
  max_tokens = std::min(max_tokens, max_tokens_);
  max_tokens =
      std::min(max_tokens,
               std::max<int64_t>(1, 2 * LargestKnown(durations, max_tokens_)));
  for (int64_t num = 1; num <= max_tokens; ++num) {
    size_t likeliest = guesses.size();
    for (size_t i = 0; i < guesses.size(); ++i) {
      if (added[i] == guesses[i].num_tokens) continue;
      if (likeliest == guesses.size() || next[i] > next[likeliest]) {
        likeliest = i;
      }
    }
    if (likeliest == guesses.size()) break;
    tokens += next[likeliest];
    next[likeliest] *= guesses[likeliest].acceptance;
    ++added[likeliest];
    const double seconds = SecondsOf(durations, num);
    if (num_decoding > 1 && seconds > max_slowdown_ * plain) continue;
    if (tokens / seconds <= best) continue;
    best = tokens / seconds;
    chosen_ = added;
  }
  return chosen_;
}

void DraftBudget::Observe(int64_t num_decoding, int64_t num_drafted,
                          double seconds) {
  if (num_decoding > kMaxDecoding || num_drafted > max_tokens_) return;
  Durations& durations = durations_[num_decoding];
  Duration& duration = durations.by_drafted[num_drafted];
  ++durations.step;
  // 0 if the clock does not advance.
  seconds = std::max(seconds, 1e-9);
  if (duration.seconds > 0 && durations.step - duration.step < kMaxDraftAge) {
    seconds = std::clamp(seconds, duration.seconds / kMaxChange,
                         duration.seconds * kMaxChange);
    duration.seconds += kRate * (seconds - duration.seconds);
  } else {
    duration.seconds = seconds;
  }
  duration.step = durations.step;
}

double DraftBudget::Cost(int64_t num_decoding, int64_t num_drafted) const {
  if (num_decoding > kMaxDecoding) return 0;
  const Durations& durations = durations_[num_decoding];
  const double plain = SecondsOf(durations, 0);
  if (plain == 0) return 0;
  return std::max(0.0, SecondsOf(durations, num_drafted) / plain - 1);
}

int64_t DraftBudget::LargestKnown(const Durations& durations,
                                  int64_t num_drafted) {
  for (; num_drafted > 0; --num_drafted) {
    const Duration& duration = durations.by_drafted[num_drafted];
    if (duration.seconds > 0 && durations.step - duration.step < kMaxDraftAge) {
      return num_drafted;
    }
  }
  return 0;
}

double DraftBudget::SecondsOf(const Durations& durations, int64_t num_drafted) {
  return durations.by_drafted[LargestKnown(durations, num_drafted)].seconds;
}

bool DraftBudget::IsPlainDue(const Durations& durations) {
  const Duration& plain = durations.by_drafted[0];
  return plain.seconds == 0 || durations.step - plain.step >= kMaxPlainAge;
}

}  // namespace rwkvd
