// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_MEMORY_STATE_STORE_H_
#define RWKVD_SERVICE_STATES_MEMORY_STATE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "service/states/expiry_index.h"
#include "service/states/state_store.h"

namespace rwkvd {

// A store in memory, whose content is lost when the process ends. Thread-safe.
class MemoryStateStore final : public StateStore {
 public:
  explicit MemoryStateStore(int64_t max_bytes) : max_bytes_(max_bytes) {}

  absl::Status PutAs(const std::string& handle, std::string bytes,
                     StoreTime now, absl::Duration time_to_live,
                     int64_t max_owner_bytes) override;
  absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, StoreTime now, int64_t max_bytes) override;
  absl::Status Delete(absl::string_view handle, StoreTime now) override;
  absl::Status Check(StoreTime now) override;
  Figures figures() const override;
  bool outlives_process() const override { return false; }

 private:
  void DropExpired(StoreTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t max_bytes_;
  mutable absl::Mutex mutex_;
  // The same handles in both.
  absl::flat_hash_map<std::string, std::shared_ptr<const std::string>> states_
      ABSL_GUARDED_BY(mutex_);
  ExpiryIndex index_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_MEMORY_STATE_STORE_H_
