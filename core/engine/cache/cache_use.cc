// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/cache_use.h"

#include <algorithm>

#include "core/engine/cache/save_points.h"

namespace rwkvd {

std::shared_ptr<const KnownPrefix> CacheUse::LookUp(
    StateCache& cache, absl::Span<const int32_t> prompt, int64_t interval) {
  StateCache::Found found = cache.Lookup(params_.start, prompt);
  save_points_ =
      PlanSavePoints(static_cast<int64_t>(prompt.size()),
                     found.known == nullptr ? 0 : found.known->num_tokens,
                     found.num_shared, interval, params_.save_point);
  return std::move(found.known);
}

int64_t CacheUse::NumKnownTokens(StateCache& cache,
                                 absl::Span<const int32_t> prompt) const {
  if (!params_.enabled) return 0;
  const auto known = cache.Lookup(params_.start, prompt).known;
  return known == nullptr ? 0 : known->num_tokens;
}

std::optional<int64_t> CacheUse::NextSavePoint(int64_t num_tokens) const {
  const auto next =
      std::upper_bound(save_points_.begin(), save_points_.end(), num_tokens);
  if (next == save_points_.end()) return std::nullopt;
  return *next;
}

bool CacheUse::IsSavePoint(int64_t num_tokens) const {
  return std::binary_search(save_points_.begin(), save_points_.end(),
                            num_tokens);
}

void CacheUse::Store(StateCache& cache, absl::Span<const int32_t> tokens,
                     const State& state, absl::Span<const float> logits) const {
  if (!params_.enabled) return;
  if (logits.empty() && !IsSavePoint(static_cast<int64_t>(tokens.size()))) {
    return;
  }
  cache.Store(params_.start, tokens, state, logits);
}

absl::Status CacheUse::Pin(StateCache& cache, absl::Time now,
                           absl::Span<const int32_t> tokens, const State& state,
                           absl::Span<const float> logits) const {
  if (!params_.pin.has_value()) return absl::OkStatus();
  return cache.Pin(params_.pin->name, now + params_.pin->time_to_live,
                   params_.start, tokens, state, logits,
                   params_.pin->max_names);
}

}  // namespace rwkvd
