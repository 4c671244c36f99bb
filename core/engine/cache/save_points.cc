// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/save_points.h"

#include <algorithm>

namespace rwkvd {
namespace {

// Inserts `point` into ascending points, unless it is there.
void Insert(int64_t point, std::vector<int64_t>* points) {
  const auto after = std::lower_bound(points->begin(), points->end(), point);
  const bool is_there = after != points->end() && *after == point;
  if (!is_there) points->insert(after, point);
}

}  // namespace

std::vector<int64_t> PlanSavePoints(int64_t num_tokens, int64_t num_known,
                                    int64_t num_shared, int64_t interval,
                                    int64_t requested) {
  std::vector<int64_t> points;
  if (interval > 0) {
    int64_t stride = interval;
    while ((num_tokens - 1) / stride > kMaxSavePoints) stride *= 2;
    for (int64_t point = (num_known / stride + 1) * stride; point < num_tokens;
         point += stride) {
      points.push_back(point);
    }
  }
  if (num_shared < num_tokens && num_shared - num_known >= kMinSharedTokens) {
    Insert(num_shared, &points);
  }
  if (requested > num_known && requested < num_tokens) {
    Insert(requested, &points);
  }
  return points;
}

}  // namespace rwkvd
