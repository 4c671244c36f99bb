// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/cumulative_key.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace rwkvd {
namespace {

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
