// SPDX-License-Identifier: Apache-2.0
#include "service/states/memory_state_store.h"

#include <utility>

#include "service/states/state_handle.h"

namespace rwkvd {

absl::Status MemoryStateStore::PutAs(const std::string& handle,
                                     std::string bytes, StoreTime now,
                                     absl::Duration time_to_live,
                                     int64_t max_owner_bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  if (size > max_bytes_ - index_.bytes()) {
    return NoRoom(size, index_.bytes(), max_bytes_,
                  index_.NextDeletion() - now.since_boot);
  }
  const int64_t owned = index_.BytesOf(OwnerIn(handle));
  if (size > max_owner_bytes - owned) {
    return NoRoomForOwner(size, owned, max_owner_bytes);
  }
  states_[handle] = std::make_shared<const std::string>(std::move(bytes));
  index_.Set(handle, {size, now.since_boot + time_to_live});
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const std::string>> MemoryStateStore::Get(
    absl::string_view handle, StoreTime now, int64_t) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  const auto state = states_.find(handle);
  if (state == states_.end()) return NoSuchState(handle, now.system);
  return state->second;
}

absl::Status MemoryStateStore::Delete(absl::string_view handle, StoreTime now) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  if (states_.erase(handle) == 0) return NoSuchState(handle, now.system);
  index_.Remove(handle);
  return absl::OkStatus();
}

absl::Status MemoryStateStore::Check(StoreTime now) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  return absl::OkStatus();
}

void MemoryStateStore::DropExpired(StoreTime now) {
  while (const auto handle = index_.FindDue(now.since_boot)) {
    index_.Remove(*handle);
    states_.erase(*handle);
  }
}

StateStore::Figures MemoryStateStore::figures() const {
  absl::MutexLock lock(&mutex_);
  return {index_.size(), index_.bytes()};
}

}  // namespace rwkvd
