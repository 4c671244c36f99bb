// SPDX-License-Identifier: Apache-2.0
#include "service/states/expiry_index.h"

#include "service/states/state_handle.h"

namespace rwkvd {

void ExpiryIndex::Set(absl::string_view handle, Entry entry) {
  Remove(handle);
  const auto [added, is_new] = entries_.emplace(std::string(handle), entry);
  by_deletion_.emplace(entry.deletion, added->first);
  bytes_ += entry.bytes;
  owned_bytes_[OwnerIn(handle)] += entry.bytes;
}

void ExpiryIndex::Remove(absl::string_view handle) {
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return;
  bytes_ -= found->second.bytes;
  const auto owned = owned_bytes_.find(OwnerIn(handle));
  owned->second -= found->second.bytes;
  if (owned->second == 0) owned_bytes_.erase(owned);
  by_deletion_.erase({found->second.deletion, found->first});
  entries_.erase(found);
}

const ExpiryIndex::Entry* ExpiryIndex::Find(absl::string_view handle) const {
  const auto found = entries_.find(handle);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<std::string> ExpiryIndex::FindDue(
    absl::Duration since_boot) const {
  if (NextDeletion() > since_boot) return std::nullopt;
  return std::string(by_deletion_.begin()->second);
}

absl::Duration ExpiryIndex::NextDeletion() const {
  return by_deletion_.empty() ? absl::InfiniteDuration()
                              : by_deletion_.begin()->first;
}

int64_t ExpiryIndex::BytesOf(absl::string_view owner) const {
  const auto owned = owned_bytes_.find(owner);
  return owned == owned_bytes_.end() ? 0 : owned->second;
}

std::vector<absl::string_view> ExpiryIndex::Handles() const {
  std::vector<absl::string_view> handles;
  handles.reserve(entries_.size());
  for (const auto& [handle, entry] : entries_) handles.push_back(handle);
  return handles;
}

}  // namespace rwkvd
