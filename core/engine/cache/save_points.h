// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_SAVE_POINTS_H_
#define RWKVD_CORE_ENGINE_CACHE_SAVE_POINTS_H_

#include <cstdint>
#include <vector>

namespace rwkvd {

// Maximum save points of one prompt, in addition to the branch point and the
// requested one. More would only evict one another from the state cache.
inline constexpr int64_t kMaxSavePoints = 8;

// Minimum tokens that a save point at a branch point must save from prefill.
inline constexpr int64_t kMinSharedTokens = 32;

// The save points of a prompt of `num_tokens`: the numbers of tokens after
// which its state is stored during prefill, in addition to its end. Ascending,
// and between `num_known` and `num_tokens`, both excluded.
//
// The first `num_known` tokens are in the state cache. The first `num_shared`
// are a prefix of another stored prompt; the point where the two branch is a
// save point, because a third prompt may branch there too. So is `requested`,
// unless it is 0 or out of bounds. The other save points are multiples of
// `interval` (none if it is 0), which is doubled until they are few enough; so
// prompts with a common prefix have them at the same positions.
std::vector<int64_t> PlanSavePoints(int64_t num_tokens, int64_t num_known,
                                    int64_t num_shared, int64_t interval,
                                    int64_t requested = 0);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_SAVE_POINTS_H_
