// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prompt_budget.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// The number of remembered decode-only steps, and of those whose median
// predicts the next.
constexpr size_t kMaxDecodeSteps = 32;
constexpr size_t kNearest = 5;

// The largest changes of the budget after a step. It shrinks faster than it
// grows, because long steps are to be avoided; but a step that was slow for
// another reason must not undo too much.
constexpr double kMaxGrowth = 1.05;
constexpr double kMaxShrink = 0.8;

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

void PromptBudget::Observe(int64_t num_decoding, int64_t num_prefilled,
                           double seconds) {
  if (num_prefilled == 0) {
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
  // A fast step below its budget is no reason to grow the budget.
  if (taken <= allowed && num_prefilled < static_cast<int64_t>(tokens_)) return;
  // Both may be 0 if the clock does not advance.
  const double change =
      taken * kMaxGrowth <= allowed ? kMaxGrowth : allowed / taken;
  tokens_ = std::clamp(tokens_ * std::max(change, kMaxShrink), min_tokens_,
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
