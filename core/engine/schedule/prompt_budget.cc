// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prompt_budget.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// Steps that are remembered, and how many of them tell the time of the next.
constexpr size_t kMaxDecodeSteps = 32;
constexpr size_t kNearest = 5;

// What a step may change the budget by. Down faster than up, for a step that is
// too long is what shall not be; yet one that was held up by something else
// must not undo too much.
constexpr double kMostUp = 1.05;
constexpr double kMostDown = 0.8;

}  // namespace

PromptBudget::PromptBudget(double max_slowdown, int64_t min_tokens,
                           int64_t max_tokens)
    : max_slowdown_(max_slowdown),
      min_tokens_(static_cast<double>(std::min(min_tokens, max_tokens))),
      max_tokens_(static_cast<double>(max_tokens)),
      tokens_(min_tokens_) {
  RWKVD_CHECK(max_slowdown > 1 && min_tokens >= 1 && max_tokens >= 1);
}

int64_t PromptBudget::Next() const {
  if (since_measured_ >= kStepsBetweenMeasurements) return 0;
  return static_cast<int64_t>(tokens_);
}

void PromptBudget::Observe(int64_t num_decoding, int64_t num_read,
                           double seconds) {
  if (num_read == 0) {
    decode_steps_.push_front({num_decoding, seconds});
    if (decode_steps_.size() > kMaxDecodeSteps) decode_steps_.pop_back();
    since_measured_ = 0;
    return;
  }
  ++since_measured_;
  const std::optional<double> decode = DecodeSeconds(num_decoding);
  if (!decode.has_value()) return;
  const double allowed = (max_slowdown_ - 1) * *decode;
  const double taken = seconds - *decode;
  // A step that read less than it might have tells nothing good of the rest.
  if (taken <= allowed && num_read < static_cast<int64_t>(tokens_)) return;
  // Both may be 0 where a clock stands still.
  const double change = taken * kMostUp <= allowed ? kMostUp : allowed / taken;
  tokens_ = std::clamp(tokens_ * std::max(change, kMostDown), min_tokens_,
                       max_tokens_);
}

std::optional<double> PromptBudget::DecodeSeconds(int64_t num_decoding) const {
  if (decode_steps_.empty()) return std::nullopt;
  std::vector<DecodeStep> steps(decode_steps_.begin(), decode_steps_.end());
  std::stable_sort(steps.begin(), steps.end(),
                   [num_decoding](const DecodeStep& a, const DecodeStep& b) {
                     return std::abs(a.num_decoding - num_decoding) <
                            std::abs(b.num_decoding - num_decoding);
                   });
  steps.resize(std::min(steps.size(), kNearest));
  const auto middle = steps.begin() + steps.size() / 2;
  std::nth_element(steps.begin(), middle, steps.end(),
                   [](const DecodeStep& a, const DecodeStep& b) {
                     return a.seconds < b.seconds;
                   });
  return middle->seconds;
}

}  // namespace rwkvd
