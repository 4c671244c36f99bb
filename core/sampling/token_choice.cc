// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/token_choice.h"

#include <algorithm>
#include <limits>

namespace rwkvd {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

void AddBias(absl::Span<const LogitBias> biases, absl::Span<float> logits) {
  for (const LogitBias& bias : biases) logits[bias.id] += bias.bias;
}

void Ban(absl::Span<const int32_t> ids, absl::Span<float> logits) {
  for (const int32_t id : ids) logits[id] = kNever;
}

void CopyOnly(absl::Span<const int32_t> ids, absl::Span<const float> row,
              absl::Span<float> logits) {
  std::fill(logits.begin(), logits.end(), kNever);
  for (const int32_t id : ids) logits[id] = row[id];
}

}  // namespace rwkvd
