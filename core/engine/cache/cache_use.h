// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_CACHE_USE_H_
#define RWKVD_CORE_ENGINE_CACHE_CACHE_USE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/request.h"
#include "core/model/state.h"

namespace rwkvd {

// How one sequence uses the state cache: under which start it looks up and
// stores prefixes, at which positions of its prompt it stores them, and
// whether it pins the whole prompt.
//
// Owned by the sequence. Engine thread only.
class CacheUse {
 public:
  struct Params {
    bool enabled = true;  // if not, prefixes are neither looked up nor stored
    PrefixStart start = 0;
    std::optional<PinRequest> pin;
    int64_t save_point = 0;  // see GenerateRequest
  };

  explicit CacheUse(Params params) : params_(std::move(params)) {}

  bool enabled() const { return params_.enabled; }

  // The longest known prefix of `prompt`, or null. Also plans the save points
  // of the rest, every `interval` tokens: see PlanSavePoints.
  std::shared_ptr<const KnownPrefix> LookUp(StateCache& cache,
                                            absl::Span<const int32_t> prompt,
                                            int64_t interval);
  // The number of tokens of that prefix. Plans nothing.
  int64_t NumKnownTokens(StateCache& cache,
                         absl::Span<const int32_t> prompt) const;

  // The first save point after `num_tokens`, if any. No step goes past one.
  std::optional<int64_t> NextSavePoint(int64_t num_tokens) const;

  // Stores what is known after `tokens` if the cache is enabled and there is
  // reason to: `tokens` end at a save point, or `logits` are known, so that a
  // request can continue without a step.
  void Store(StateCache& cache, absl::Span<const int32_t> tokens,
             const State& state, absl::Span<const float> logits) const;
  // Stores the whole prompt's state and pins it, if requested. Errors are those
  // of StateCache::Pin.
  absl::Status Pin(StateCache& cache, absl::Time now,
                   absl::Span<const int32_t> tokens, const State& state,
                   absl::Span<const float> logits) const;

  // Whether the state after `num_tokens` is to be stored.
  bool IsSavePoint(int64_t num_tokens) const;

 private:
  Params params_;
  std::vector<int64_t> save_points_;  // numbers of tokens, ascending
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_CACHE_USE_H_
