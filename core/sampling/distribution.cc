// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/sampling/logit_kernels.h"

namespace rwkvd {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace

void Distribution::Reset(absl::Span<const float> logits, double scale) {
  logits_ = logits;
  scale_ = scale;
  is_whole_ = true;
  sum_ = -1;
  maxima_.resize(NumLogitBlocks(logits.size()));
  BestLogitKernels().block_max(logits.data(), logits.size(), maxima_.data());
  reference_ = *std::max_element(maxima_.begin(), maxima_.end());
}

bool Distribution::empty() const { return reference_ == kMinusInfinity; }

double Distribution::Sum() {
  if (sum_ >= 0) return sum_;
  sum_ = 0;
  if (empty()) return sum_;
  if (is_whole_) {
    block_sums_.resize(maxima_.size());
    BestLogitKernels().block_sum_exp(logits_.data(), logits_.size(), reference_,
                                     scale_, block_sums_.data());
    for (const double sum : block_sums_) sum_ += sum;
  } else {
    for (const Candidate& candidate : candidates_) sum_ += candidate.weight;
  }
  return sum_;
}

absl::Span<const Candidate> Distribution::candidates() {
  if (is_whole_) MaterializeCandidates(kMinusInfinity);
  return candidates_;
}

float Distribution::LogitOfRank(int64_t n) {
  RWKVD_CHECK(is_whole_);
  packed_ = maxima_;
  return ::rwkvd::LogitOfRank(n, absl::MakeSpan(packed_));
}

void Distribution::KeepAtLeast(float lowest) {
  if (is_whole_) {
    MaterializeCandidates(lowest);
  } else {
    RemoveIf([lowest](const Candidate& candidate) {
      return candidate.logit < lowest;
    });
  }
}

void Distribution::MaterializeCandidates(float lowest) {
  ids_.resize(logits_.size());
  const size_t n = BestLogitKernels().find_at_least(
      logits_.data(), logits_.size(), lowest, ids_.data());
  candidates_.resize(n);
  for (size_t i = 0; i < n; ++i) {
    candidates_[i] = {ids_[i], logits_[ids_[i]], 0};
  }
  is_whole_ = false;
  ComputeWeights();
}

void Distribution::ComputeWeights() {
  const size_t n = candidates_.size();
  packed_.resize(n);
  weights_.resize(n);
  for (size_t i = 0; i < n; ++i) packed_[i] = candidates_[i].logit;
  BestLogitKernels().exp(packed_.data(), n, reference_, scale_,
                         weights_.data());
  for (size_t i = 0; i < n; ++i) candidates_[i].weight = weights_[i];
  sum_ = -1;
}

void Distribution::SetScale(double scale) {
  if (scale == scale_) return;
  scale_ = scale;
  sum_ = -1;
  if (is_whole_) return;
  // The likeliest token may have been removed. Relative to its logit, the
  // weights of all remaining candidates could round to zero.
  reference_ = kMinusInfinity;
  for (const Candidate& candidate : candidates_) {
    reference_ = std::max(reference_, candidate.logit);
  }
  ComputeWeights();
}

int32_t Distribution::TokenAt(double uniform) {
  const double target = uniform * Sum();
  if (is_whole_) return TokenAtInRow(target);
  double below = 0;
  int32_t picked = candidates_.front().id;
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight == 0) continue;
    // If rounding keeps the sum below the target, the last candidate with a
    // nonzero weight is returned.
    picked = candidate.id;
    below += candidate.weight;
    if (below > target) break;
  }
  return picked;
}

int32_t Distribution::TokenAtInRow(double target) {
  size_t block = 0;
  double below = 0;
  double before = 0;  // weight of all earlier blocks
  for (size_t i = 0; i < block_sums_.size(); ++i) {
    if (block_sums_[i] == 0) continue;
    block = i;
    before = below;
    below += block_sums_[i];
    if (below > target) break;
  }
  const size_t begin = block * kLogitBlock;
  const size_t end = std::min(begin + kLogitBlock, logits_.size());
  int32_t picked = 0;
  for (size_t id = begin; id < end; ++id) {
    if (!std::isfinite(logits_[id])) continue;
    const double weight = Exp(double{logits_[id]} - reference_, scale_);
    if (weight == 0) continue;
    picked = static_cast<int32_t>(id);
    before += weight;
    if (before > target) break;
  }
  return picked;
}

double Distribution::LogProbabilityOf(float logit) {
  return (double{logit} - reference_) * scale_ - std::log(Sum());
}

double Distribution::LogProbability(int32_t id) {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  if (is_whole_) {
    return std::isfinite(logits_[id]) ? LogProbabilityOf(logits_[id]) : kNever;
  }
  const auto it = std::lower_bound(
      candidates_.begin(), candidates_.end(), id,
      [](const Candidate& candidate, int32_t id) { return candidate.id < id; });
  const bool found = it != candidates_.end() && it->id == id;
  return found ? LogProbabilityOf(it->logit) : kNever;
}

void Distribution::Likeliest(int64_t n, std::vector<TokenLogprob>* top) {
  top->clear();
  if (is_whole_) {
    LikeliestIds(logits_, n, &ids_);
    for (const int32_t id : ids_)
      top->push_back({id, LogProbabilityOf(logits_[id])});
    return;
  }
  scratch_ = candidates_;
  n = std::min(n, static_cast<int64_t>(scratch_.size()));
  std::partial_sort(scratch_.begin(), scratch_.begin() + n, scratch_.end(),
                    IsLikelier);
  for (int64_t i = 0; i < n; ++i) {
    top->push_back({scratch_[i].id, LogProbabilityOf(scratch_[i].logit)});
  }
}

float FloatBelow(double x) {
  if (x < -std::numeric_limits<float>::max()) return kMinusInfinity;
  const float nearest = static_cast<float>(x);
  return nearest > x ? std::nextafter(nearest, kMinusInfinity) : nearest;
}

}  // namespace rwkvd
