// SPDX-License-Identifier: Apache-2.0
#include "core/engine/schedule/prefill_rate.h"

#include <algorithm>

namespace rwkvd {
namespace {

// The weight of a step, compared with that of the next one.
constexpr double kWeightOfOlder = 0.875;

}  // namespace

void PrefillRate::Observe(int64_t num_tokens, double seconds) {
  tokens_ = tokens_ * kWeightOfOlder + static_cast<double>(num_tokens);
  seconds_ = seconds_ * kWeightOfOlder + seconds;
}

int64_t PrefillRate::TokensIn(absl::Duration duration) const {
  if (!(seconds_ > 0)) return kMaxTokens;
  const double tokens = absl::ToDoubleSeconds(duration) / seconds_ * tokens_;
  return static_cast<int64_t>(
      std::clamp(tokens, 0.0, static_cast<double>(kMaxTokens)));
}

}  // namespace rwkvd
