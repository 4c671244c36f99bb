// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/logits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "core/sampling/logit_kernels.h"

namespace rwkvd {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The functions below use buffers of the calling thread; their contents are
// undefined between calls.
std::vector<float>& MaximaOf(absl::Span<const float> logits) {
  thread_local std::vector<float> maxima;
  maxima.resize(NumLogitBlocks(logits.size()));
  BestLogitKernels().block_max(logits.data(), logits.size(), maxima.data());
  return maxima;
}

double SumOfExponentials(absl::Span<const float> logits, float largest) {
  thread_local std::vector<double> sums;
  sums.resize(NumLogitBlocks(logits.size()));
  BestLogitKernels().block_sum_exp(logits.data(), logits.size(), largest, 1,
                                   sums.data());
  double sum = 0;
  for (const double block_sum : sums) sum += block_sum;
  return sum;
}

// Sets the highest bit for a NaN or an infinity, whose exponent has all bits
// set.
constexpr uint32_t CarryOfExponent(float value) {
  return (std::bit_cast<uint32_t>(value) & 0x7fffffff) + 0x00800000;
}

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

bool AllFinite(absl::Span<const float> logits) {
  // Independent sums of bits, which the compiler keeps in vector registers.
  constexpr size_t kLanes = 16;
  uint32_t lanes[kLanes] = {};
  const size_t whole = logits.size() - logits.size() % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      lanes[j] |= CarryOfExponent(logits[i + j]);
    }
  }
  uint32_t any = 0;
  for (size_t i = whole; i < logits.size(); ++i) {
    any |= CarryOfExponent(logits[i]);
  }
  for (const uint32_t lane : lanes) any |= lane;
  return any >> 31 == 0;
}

int32_t GreedyId(absl::Span<const float> logits) {
  const std::vector<float>& maxima = MaximaOf(logits);
  const auto block = std::max_element(maxima.begin(), maxima.end());
  if (*block == kMinusInfinity) return 0;
  const auto begin = logits.begin() + (block - maxima.begin()) * kLogitBlock;
  return static_cast<int32_t>(std::find(begin, logits.end(), *block) -
                              logits.begin());
}

LogSoftmax ComputeLogSoftmax(absl::Span<const float> logits) {
  LogSoftmax result;
  result.greedy_id = GreedyId(logits);
  const float largest = logits[result.greedy_id];
  result.largest = largest;
  result.log_sum = std::isfinite(largest)
                       ? std::log(SumOfExponentials(logits, largest))
                       : -std::numeric_limits<double>::infinity();
  return result;
}

double LogProbability(absl::Span<const float> logits,
                      const LogSoftmax& log_softmax, int32_t id) {
  if (!std::isfinite(logits[id])) {
    return -std::numeric_limits<double>::infinity();
  }
  return (logits[id] - log_softmax.largest) - log_softmax.log_sum;
}

float LogitOfRank(int64_t n, absl::Span<float> maxima) {
  if (n > static_cast<int64_t>(maxima.size())) return kMinusInfinity;
  const auto nth = maxima.begin() + (n - 1);
  std::nth_element(maxima.begin(), nth, maxima.end(), std::greater<float>());
  return *nth;
}

void LikeliestIds(absl::Span<const float> logits, int64_t n,
                  std::vector<int32_t>* ids) {
  ids->clear();
  if (n <= 0) return;
  const float lowest = LogitOfRank(n, absl::MakeSpan(MaximaOf(logits)));
  thread_local std::vector<int32_t> found;
  found.resize(logits.size());
  found.resize(BestLogitKernels().find_at_least(logits.data(), logits.size(),
                                                lowest, found.data()));
  n = std::min(n, static_cast<int64_t>(found.size()));
  const auto is_likelier = [logits](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::partial_sort(found.begin(), found.begin() + n, found.end(), is_likelier);
  ids->assign(found.begin(), found.begin() + n);
}

void AddBiases(absl::Span<const LogitBias> biases, absl::Span<float> logits) {
  for (const LogitBias& bias : biases) logits[bias.id] += bias.bias;
}

void BanTokens(absl::Span<const int32_t> ids, absl::Span<float> logits) {
  for (const int32_t id : ids) logits[id] = kNever;
}

void CopyAllowed(absl::Span<const int32_t> ids, absl::Span<const float> row,
                 absl::Span<float> logits) {
  std::fill(logits.begin(), logits.end(), kNever);
  for (const int32_t id : ids) logits[id] = row[id];
}

}  // namespace rwkvd
