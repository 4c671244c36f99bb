// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/logits.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rwkvd {

int32_t GreedyId(absl::Span<const float> logits) {
  int32_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  for (size_t id = 0; id < logits.size(); ++id) {
    // False for NaN, so the largest is never one.
    if (logits[id] > largest && std::isfinite(logits[id])) {
      largest = logits[id];
      best = static_cast<int32_t>(id);
    }
  }
  return best;
}

LogSoftmax ComputeLogSoftmax(absl::Span<const float> logits) {
  LogSoftmax result;
  result.greedy_id = GreedyId(logits);
  result.largest = logits[result.greedy_id];
  double sum = 0;
  for (const float logit : logits) {
    if (std::isfinite(logit)) sum += std::exp(logit - result.largest);
  }
  result.log_sum = std::log(sum);
  return result;
}

double LogProbability(absl::Span<const float> logits,
                      const LogSoftmax& log_softmax, int32_t id) {
  if (!std::isfinite(logits[id])) {
    return -std::numeric_limits<double>::infinity();
  }
  return (logits[id] - log_softmax.largest) - log_softmax.log_sum;
}

void LikeliestIds(absl::Span<const float> logits, int64_t n,
                  std::vector<int32_t>* ids) {
  ids->clear();
  if (n <= 0) return;
  const auto is_likelier = [logits](int32_t a, int32_t b) {
    return logits[a] > logits[b];
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    const int32_t id = static_cast<int32_t>(i);
    if (!std::isfinite(logits[id])) continue;
    const bool full = static_cast<int64_t>(ids->size()) == n;
    if (full && !is_likelier(id, ids->back())) continue;
    if (full) ids->pop_back();
    // After those alike, whose ids are lower.
    ids->insert(std::upper_bound(ids->begin(), ids->end(), id, is_likelier),
                id);
  }
}

}  // namespace rwkvd
