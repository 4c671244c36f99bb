// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_SAVE_POINTS_H_
#define RWKVD_CORE_ENGINE_CACHE_SAVE_POINTS_H_

#include <cstdint>
#include <vector>

namespace rwkvd {

// Save points of one prompt, at most, beside the one where it parts from what
// is known. More would only push each other out of the state cache.
inline constexpr int64_t kMaxSavePoints = 8;

// Tokens that must be saved for the place where prompts part to be kept.
inline constexpr int64_t kMinSharedTokens = 32;

// After how many of its `num_tokens` the states of a prompt are to be stored
// while it is read, besides at its end; ascending, and all between what is
// known and the end. `num_known` of them need not be read, and `num_shared`
// begin another prompt that was stored: where the two part a third may part
// too.
//
// The others are multiples of `interval` (0: none), or of that doubled until
// they are few enough: so prompts that begin alike have them at the same
// places.
std::vector<int64_t> PlanSavePoints(int64_t num_tokens, int64_t num_known,
                                    int64_t num_shared, int64_t interval);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_SAVE_POINTS_H_
