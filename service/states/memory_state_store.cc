// SPDX-License-Identifier: Apache-2.0
#include "service/states/memory_state_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "service/states/state_handle.h"

namespace rwkvd {

absl::StatusOr<std::string> MemoryStateStore::Put(std::string bytes,
                                                  absl::Time now,
                                                  absl::Time expires) {
  const auto size = static_cast<int64_t>(bytes.size());
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  if (bytes_ + size > max_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the state store has no room for ", size, " bytes: ", bytes_, " of ",
        max_bytes_, " are in use (--state_store_mib)"));
  }
  std::string handle = NewStateHandle(expires);
  entries_[handle] = {std::make_shared<const std::string>(std::move(bytes)),
                      expires};
  bytes_ += size;
  return handle;
}

absl::StatusOr<std::shared_ptr<const std::string>> MemoryStateStore::Get(
    absl::string_view handle, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  const auto entry = entries_.find(handle);
  if (entry == entries_.end()) return NoSuchState(handle, now);
  return entry->second.bytes;
}

absl::Status MemoryStateStore::Delete(absl::string_view handle,
                                      absl::Time now) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  const auto entry = entries_.find(handle);
  if (entry == entries_.end()) return NoSuchState(handle, now);
  bytes_ -= static_cast<int64_t>(entry->second.bytes->size());
  entries_.erase(entry);
  return absl::OkStatus();
}

void MemoryStateStore::DropExpired(absl::Time now) {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto here = entry++;
    if (now < here->second.expires) continue;
    bytes_ -= static_cast<int64_t>(here->second.bytes->size());
    entries_.erase(here);
  }
}

StateStore::Figures MemoryStateStore::figures() const {
  absl::MutexLock lock(&mutex_);
  return {static_cast<int64_t>(entries_.size()), bytes_};
}

}  // namespace rwkvd
