// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/save_points.h"

#include <algorithm>

namespace rwkvd {

std::vector<int64_t> PlanSavePoints(int64_t num_tokens, int64_t num_known,
                                    int64_t num_shared, int64_t interval) {
  std::vector<int64_t> places;
  if (interval > 0) {
    int64_t stride = interval;
    while ((num_tokens - 1) / stride > kMaxSavePoints) stride *= 2;
    for (int64_t place = (num_known / stride + 1) * stride; place < num_tokens;
         place += stride) {
      places.push_back(place);
    }
  }
  if (num_shared < num_tokens && num_shared - num_known >= kMinSharedTokens) {
    const auto after =
        std::lower_bound(places.begin(), places.end(), num_shared);
    const bool is_there = after != places.end() && *after == num_shared;
    if (!is_there) places.insert(after, num_shared);
  }
  return places;
}

}  // namespace rwkvd
