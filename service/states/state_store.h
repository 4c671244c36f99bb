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
#include "service/states/store_time.h"

namespace rwkvd {

// Stores the bytes of state files until they expire, under handles that cannot
// be guessed. A string that is not a handle is NotFound.
//
// The errors go to clients: they contain no path and no address, and a failure
// of the server's disk or of its store in the network is never the client's
// fault. It is Unavailable, ResourceExhausted with a RetryAfter if the disk is
// full, or DataLoss if a state is damaged. The log has the details.
//
// Owned by SavedStates; thread-safe. The methods may wait for a disk or for the
// network, so that calls use them on the worker's thread only.
class StateStore {
 public:
  struct Figures {
    int64_t handles = 0;
    int64_t bytes = 0;
    bool is_usable = true;  // whether the last access succeeded
  };

  virtual ~StateStore() = default;

  // Stores `bytes` for `time_to_live` under a new handle, which NewStateHandle
  // has made. ResourceExhausted with a RetryAfter if the store is full, or if
  // the states with the same owner (OwnerIn) would have more than
  // `max_owner_bytes`, since no state is deleted before it expires.
  virtual absl::Status PutAs(const std::string& handle, std::string bytes,
                             StoreTime now, absl::Duration time_to_live,
                             int64_t max_owner_bytes) = 0;

  // Stores `bytes` in the same way, and returns their handle.
  absl::StatusOr<std::string> Put(std::string bytes, StoreTime now,
                                  absl::Duration time_to_live);

  // The bytes with this handle. NotFound if there are none, or none any more.
  // DataLoss if there are more than `max_bytes`.
  virtual absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, StoreTime now, int64_t max_bytes) = 0;

  // NotFound, as for Get.
  virtual absl::Status Delete(absl::string_view handle, StoreTime now) = 0;

  // Deletes the states that have expired, and tries out whether the store can
  // be read and written. Unavailable, with the path and the reason, if it
  // cannot; this error is for the operator, and this server is not ready then.
  // A full disk is no error, nor is a store in the network, which other servers
  // would lack, too; figures() shows its failure.
  virtual absl::Status Check(StoreTime now) = 0;

  // The content when the store last looked; it may include expired states. Does
  // not wait for a disk or for the network.
  virtual Figures figures() const = 0;

  // Whether handles stay valid after the process has ended.
  virtual bool outlives_process() const = 0;
};

// ResourceExhausted with a RetryAfter: a store whose states take `bytes` of at
// most `max_bytes` has no room for `size` bytes. The next state expires after
// `next_expiry`.
absl::Status NoRoom(int64_t size, int64_t bytes, int64_t max_bytes,
                    absl::Duration next_expiry);

// The same error of one owner, whose states take `bytes` of at most
// `max_bytes`.
absl::Status NoRoomForOwner(int64_t size, int64_t bytes, int64_t max_bytes);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_STORE_H_
