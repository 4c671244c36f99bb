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

// Powers of e down to which candidates are written down in turn until they make
// up the nucleus. Of most rows the first (down to 1/3000 of the likeliest) is
// enough, and leaves a few hundred of 65536 tokens to rank.
constexpr double kDepths[] = {8, 16, std::numeric_limits<double>::infinity()};

// Of a whole distribution; what it writes down it has to begin anew.
void KeepEnough(double wanted, Distribution* distribution) {
  const absl::Span<const float> logits = distribution->logits();
  const double scale = distribution->scale();
  for (const double depth : kDepths) {
    distribution->KeepAtLeast(
        FloatBelow(distribution->reference() - depth / scale));
    if (distribution->Sum() >= wanted || depth == kDepths[2]) return;
    distribution->Begin(logits, scale);
  }
}

constexpr double kLowestProbability = 1.1253517471925912e-7;  // e^-16

double SecondDifference(const std::vector<Candidate>& ranked, size_t i) {
  return std::abs((ranked[i].weight - ranked[i + 1].weight) -
                  (ranked[i + 1].weight - ranked[i + 2].weight));
}

// How many of `ranked`, at least three, are left.
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

constexpr int kNumBins = 256;

// So few are simply sorted.
constexpr size_t kFew = 48;

bool HasSmallerKey(const KeyedWeight& a, const KeyedWeight& b) {
  return a.key < b.key;
}

// Bins of equal width over the keys from `lowest` to `highest`.
struct Bins {
  double lowest = 0;
  double per_unit = 0;  // bins

  int Of(double key) const {
    return std::min(static_cast<int>((key - lowest) * per_unit), kNumBins - 1);
  }
};

// The bin that holds the answer; adds to `before` what lies in bins before it.
int BinAtWeight(const Bins& bins, double wanted,
                const std::vector<KeyedWeight>& items, double* before) {
  std::array<double, kNumBins> sums = {};
  std::array<bool, kNumBins> used = {};
  for (const KeyedWeight& item : items) {
    const int bin = bins.Of(item.key);
    sums[bin] += item.weight;
    used[bin] = true;
  }
  int last = kNumBins - 1;  // which the highest key uses
  while (!used[last]) --last;
  for (int bin = 0; bin < last; ++bin) {
    if (used[bin] && *before + sums[bin] >= wanted) return bin;
    *before += sums[bin];
  }
  return last;
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
  distribution->Drop([edge = *last](const Candidate& candidate) {
    return IsLikelier(edge, candidate);
  });
}

void KeepTopP(double p, Distribution* distribution, int64_t top_k) {
  const double wanted = p * distribution->Sum();
  // Of the ranking, the first that reach p and the first k: whichever is less,
  // so the k need not be sought in what may be a large nucleus.
  if (top_k > 0) {
    KeepTopK(top_k, distribution);
  } else if (distribution->is_whole()) {
    KeepEnough(wanted, distribution);
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
    // A little more than is left in the end, so that rounding cuts off none.
    const double depth = (1e-3 - std::log(p)) / distribution->scale();
    distribution->KeepAtLeast(FloatBelow(distribution->reference() - depth));
  }
  double largest = 0;
  for (const Candidate& candidate : distribution->candidates()) {
    largest = std::max(largest, candidate.weight);
  }
  distribution->Drop([lowest = p * largest](const Candidate& candidate) {
    return candidate.weight < lowest;
  });
}

void KeepTailFree(double z, Distribution* distribution) {
  KeepMinP(kLowestProbability, distribution);
  const absl::Span<const Candidate> candidates = distribution->candidates();
  if (candidates.size() < 3) return;
  std::vector<Candidate>& ranked = distribution->scratch();
  ranked.assign(candidates.begin(), candidates.end());
  std::sort(ranked.begin(), ranked.end(), IsLikelier);
  const Candidate edge = ranked[NumKept(z, ranked) - 1];
  distribution->Drop([&edge](const Candidate& candidate) {
    return IsLikelier(edge, candidate);
  });
}

void KeepLocallyTypical(double p, Distribution* distribution) {
  // ln p is the logit times the scale, less a constant that drops out of every
  // difference.
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
  distribution->Drop(
      [&](const Candidate& candidate) { return distance(candidate) > edge; });
}

double KeyAtWeight(double wanted, std::vector<KeyedWeight>* items) {
  RWKVD_CHECK(!items->empty());
  double before = 0;
  while (items->size() > kFew) {
    const auto [low, high] =
        std::minmax_element(items->begin(), items->end(), HasSmallerKey);
    const Bins bins = {low->key, kNumBins / (high->key - low->key)};
    // All alike, or as good as that.
    if (!std::isfinite(bins.per_unit)) break;
    const int bin = BinAtWeight(bins, wanted, *items, &before);
    // At least the first and the last bin are used, so some item goes.
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

}  // namespace rwkvd
