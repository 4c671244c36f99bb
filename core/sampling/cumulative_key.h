// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_CUMULATIVE_KEY_H_
#define RWKVD_CORE_SAMPLING_CUMULATIVE_KEY_H_

#include <vector>

namespace rwkvd {

struct KeyedWeight {
  double key = 0;
  double weight = 0;
};

// The key at which the weights, taken by ascending keys, first sum to `wanted`
// or more; the largest if they never do. Sorts into ever narrower bins, which
// takes a few passes over `items` where sorting them would take many. At least
// one item; keys are finite. Leaves nothing useful in `items`.
double KeyAtWeight(double wanted, std::vector<KeyedWeight>* items);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_CUMULATIVE_KEY_H_
