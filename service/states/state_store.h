// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STATE_STORE_H_
#define RWKVD_SERVICE_STATES_STATE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// Stores the bytes of state files until they expire, under handles that cannot
// be guessed. A string that is not a handle is NotFound.
//
// Owned by SavedStates; thread-safe. The methods may wait for a disk, so that
// calls use them on the worker's thread only.
class StateStore {
 public:
  struct Figures {
    int64_t handles = 0;
    int64_t bytes = 0;
  };

  virtual ~StateStore() = default;

  // Stores `bytes` until `expires` and returns their handle. ResourceExhausted
  // if the store is full, since no state is deleted before it expires; or the
  // error of the operating system.
  virtual absl::StatusOr<std::string> Put(std::string bytes, absl::Time now,
                                          absl::Time expires) = 0;

  // The bytes with this handle. NotFound if there are none, or none any more.
  virtual absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, absl::Time now) = 0;

  // NotFound, as for Get.
  virtual absl::Status Delete(absl::string_view handle, absl::Time now) = 0;

  // The content when the store last looked; it may include expired states. Does
  // not wait for a disk.
  virtual Figures figures() const = 0;

  // Whether handles stay valid after the process has ended.
  virtual bool outlives_process() const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_STORE_H_
