// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/truncation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr int kNumBins = 256;

// Up to this many items are sorted directly.
constexpr size_t kSortThreshold = 48;

bool HasSmallerKey(const KeyedWeight& a, const KeyedWeight& b) {
  return a.key < b.key;
}

// Bins of equal width that cover the keys from `lowest` on.
struct Bins {
  double lowest = 0;
  double per_unit = 0;  // bins per unit of the key

  int Of(double key) const {
    return std::min(static_cast<int>((key - lowest) * per_unit), kNumBins - 1);
  }
};

// Returns the bin that holds the answer. Adds the weights of all bins before it
// to `before`.
int BinAtWeight(const Bins& bins, double wanted,
                const std::vector<KeyedWeight>& items, double* before) {
  std::array<double, kNumBins> sums = {};
  std::array<bool, kNumBins> used = {};
  for (const KeyedWeight& item : items) {
    const int bin = bins.Of(item.key);
    sums[bin] += item.weight;
    used[bin] = true;
  }
  int last = kNumBins - 1;  // becomes the bin of the highest key
  while (!used[last]) --last;
  for (int bin = 0; bin < last; ++bin) {
    if (used[bin] && *before + sums[bin] >= wanted) return bin;
    *before += sums[bin];
  }
  return last;
}

}  // namespace

double KeyAtWeight(double wanted, std::vector<KeyedWeight>* items) {
  RWKVD_CHECK(!items->empty());
  double before = 0;
  while (items->size() > kSortThreshold) {
    const auto [low, high] =
        std::minmax_element(items->begin(), items->end(), HasSmallerKey);
    const Bins bins = {low->key, kNumBins / (high->key - low->key)};
    // The keys are equal or too close for bins to separate.
    if (!std::isfinite(bins.per_unit)) break;
    const int bin = BinAtWeight(bins, wanted, *items, &before);
    // The lowest and the highest key are in different bins, so at least one
    // item is removed.
    std::erase_if(*items, [&](const KeyedWeight& item) {
      return bins.Of(item.key) != bin;
    });
  }
  std::sort(items->begin(), items->end(), HasSmallerKey);
  for (const KeyedWeight& item : *items) {
    before += item.weight;
    if (before >= wanted) return item.key;
  }
  return items->back().key;
}

void KeepTopK(int64_t k, Distribution* distribution) {
  RWKVD_CHECK(k >= 1);
  if (distribution->is_whole()) {
    if (k >= static_cast<int64_t>(distribution->logits().size())) return;
    distribution->KeepAtLeast(distribution->LogitOfRank(k));
  }
  const absl::Span<const Candidate> candidates = distribution->candidates();
  if (k >= static_cast<int64_t>(candidates.size())) return;
  std::vector<Candidate>& ranked = distribution->scratch();
  ranked.assign(candidates.begin(), candidates.end());
  const auto last = ranked.begin() + (k - 1);
  std::nth_element(ranked.begin(), last, ranked.end(), IsLikelier);
  distribution->RemoveIf([edge = *last](const Candidate& candidate) {
    return IsLikelier(edge, candidate);
  });
}

namespace {

// Depths below the largest logit, in powers of e, at which KeepTopP looks for
// the nucleus. For most rows the first one (1/3000 of the likeliest token) is
// enough, and leaves a few hundred of 65536 tokens to rank.
constexpr double kNucleusDepths[] = {8, 16,
                                     std::numeric_limits<double>::infinity()};

// Narrows a whole distribution to likeliest candidates whose weights sum to at
// least `wanted`. Starts over from the row when a depth does not suffice.
void KeepNucleusSuperset(double wanted, Distribution* distribution) {
  const absl::Span<const float> logits = distribution->logits();
  const double scale = distribution->scale();
  for (const double depth : kNucleusDepths) {
    distribution->KeepAtLeast(
        FloatBelow(distribution->reference() - depth / scale));
    if (distribution->Sum() >= wanted || depth == kNucleusDepths[2]) return;
    distribution->Reset(logits, scale);
  }
}

}  // namespace

void KeepTopP(double p, Distribution* distribution, int64_t top_k) {
  const double wanted = p * distribution->Sum();
  // The result is the shorter one of two prefixes of the ranking: those that
  // reach p, and the first k. Taking the k first avoids ranking a large
  // nucleus.
  if (top_k > 0) {
    KeepTopK(top_k, distribution);
  } else if (distribution->is_whole()) {
    KeepNucleusSuperset(wanted, distribution);
  }
  thread_local std::vector<KeyedWeight> items;
  items.clear();
  for (const Candidate& candidate : distribution->candidates()) {
    items.push_back({-double{candidate.logit}, candidate.weight});
  }
  const double edge = -KeyAtWeight(wanted, &items);
  distribution->KeepAtLeast(static_cast<float>(edge));
}

void KeepMinP(double p, Distribution* distribution) {
  if (distribution->is_whole()) {
    // Keeps slightly more than the result, so that rounding removes none of it.
    const double depth = (1e-3 - std::log(p)) / distribution->scale();
    distribution->KeepAtLeast(FloatBelow(distribution->reference() - depth));
  }
  double largest = 0;
  for (const Candidate& candidate : distribution->candidates()) {
    largest = std::max(largest, candidate.weight);
  }
  distribution->RemoveIf([lowest = p * largest](const Candidate& candidate) {
    return candidate.weight < lowest;
  });
}

namespace {

constexpr double kLowestProbability = 1.1253517471925912e-7;  // e^-16

double SecondDifference(const std::vector<Candidate>& ranked, size_t i) {
  return std::abs((ranked[i].weight - ranked[i + 1].weight) -
                  (ranked[i + 1].weight - ranked[i + 2].weight));
}

// Returns how many of `ranked`, which has at least three elements, remain.
size_t NumKept(double z, const std::vector<Candidate>& ranked) {
  const size_t n = ranked.size() - 2;
  double all = 0;
  for (size_t i = 0; i < n; ++i) all += SecondDifference(ranked, i);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += SecondDifference(ranked, i);
    if (sum > z * all) return std::max<size_t>(i, 1);
  }
  return ranked.size();
}

}  // namespace

void KeepTailFree(double z, Distribution* distribution) {
  KeepMinP(kLowestProbability, distribution);
  const absl::Span<const Candidate> candidates = distribution->candidates();
  if (candidates.size() < 3) return;
  std::vector<Candidate>& ranked = distribution->scratch();
  ranked.assign(candidates.begin(), candidates.end());
  std::sort(ranked.begin(), ranked.end(), IsLikelier);
  const Candidate edge = ranked[NumKept(z, ranked) - 1];
  distribution->RemoveIf([&edge](const Candidate& candidate) {
    return IsLikelier(edge, candidate);
  });
}

void KeepLocallyTypical(double p, Distribution* distribution) {
  // ln p is scale * logit minus a constant. The distances use the logit alone:
  // the constant cancels out, and the scale does not change their order.
  double mean = 0;
  for (const Candidate& candidate : distribution->candidates()) {
    mean += candidate.weight *
            (double{candidate.logit} - distribution->reference());
  }
  mean /= distribution->Sum();
  const auto distance = [=](const Candidate& candidate) {
    return std::abs((double{candidate.logit} - distribution->reference()) -
                    mean);
  };
  thread_local std::vector<KeyedWeight> items;
  items.clear();
  for (const Candidate& candidate : distribution->candidates()) {
    items.push_back({distance(candidate), candidate.weight});
  }
  const double edge = KeyAtWeight(p * distribution->Sum(), &items);
  distribution->RemoveIf(
      [&](const Candidate& candidate) { return distance(candidate) > edge; });
}

namespace {

void ApplyTopP(const SamplingParams& params, Distribution* distribution,
               int64_t top_k = 0) {
  if (params.top_p < 1) KeepTopP(params.top_p, distribution, top_k);
}

void ApplyTopK(const SamplingParams& params, Distribution* distribution) {
  if (params.top_k > 0) KeepTopK(params.top_k, distribution);
}

void ApplyTailFreeAndTypical(const SamplingParams& params,
                             Distribution* distribution) {
  if (params.tail_free_z < 1) KeepTailFree(params.tail_free_z, distribution);
  if (params.typical_p < 1) KeepLocallyTypical(params.typical_p, distribution);
}

}  // namespace

void Truncate(const SamplingParams& params, Distribution* distribution) {
  if (params.order == SamplerOrder::kTopPFirst) {
    ApplyTopP(params, distribution, params.top_k);
    if (params.top_p == 1) ApplyTopK(params, distribution);
    ApplyTailFreeAndTypical(params, distribution);
  } else {
    ApplyTopK(params, distribution);
    ApplyTailFreeAndTypical(params, distribution);
    ApplyTopP(params, distribution);
  }
  if (params.min_p > 0) KeepMinP(params.min_p, distribution);
}

}  // namespace rwkvd
