// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/token_counts.h"

#include <cmath>

namespace rwkvd {

TokenCounts::TokenCounts(int64_t window, double decay)
    : window_(window),
      decay_(decay),
      decay_of_window_(std::pow(decay, static_cast<double>(window))) {}

void TokenCounts::Add(int32_t id, double weight) {
  ++step_;
  if (window_ > 0) {
    const int64_t place = (step_ - 1) % window_;
    if (step_ <= window_) {
      last_.push_back(id);
    } else {
      Forget(last_[place]);
      last_[place] = id;
    }
  }
  const auto [it, is_new] =
      places_.try_emplace(id, static_cast<int32_t>(entries_.size()));
  if (is_new) {
    entries_.push_back({.id = id, .weight = weight, .step_then = step_});
  }
  Entry& entry = entries_[it->second];
  Settle(&entry);
  ++entry.times;
  entry.count_then += weight;
}

absl::Span<const TokenCounts::Entry> TokenCounts::Now() {
  for (Entry& entry : entries_) {
    entry.count = entry.count_then * Power(step_ - entry.step_then);
  }
  return entries_;
}

double TokenCounts::Power(int64_t steps) const {
  return decay_ == 1 ? 1 : std::pow(decay_, static_cast<double>(steps));
}

void TokenCounts::Settle(Entry* entry) {
  entry->count_then *= Power(step_ - entry->step_then);
  entry->step_then = step_;
}

void TokenCounts::Forget(int32_t id) {
  const auto it = places_.find(id);
  const int32_t place = it->second;
  Entry& entry = entries_[place];
  if (--entry.times > 0) {
    Settle(&entry);
    entry.count_then -= entry.weight * decay_of_window_;
    return;
  }
  places_.erase(it);
  if (entry.id != entries_.back().id) {
    entry = entries_.back();
    places_[entry.id] = place;
  }
  entries_.pop_back();
}

}  // namespace rwkvd
