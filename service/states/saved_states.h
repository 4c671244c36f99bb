// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_SAVED_STATES_H_
#define RWKVD_SERVICE_STATES_SAVED_STATES_H_

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/engine/snapshot.h"
#include "core/model/state_file.h"
#include "service/states/state_store.h"
#include "service/states/worker.h"

namespace rwkvd {

// A state that the server has saved for a client. A value.
struct SavedState {
  std::string handle;
  int64_t bytes = 0;
  absl::Time expires;
};

// Adds a number of bytes to a sum, and subtracts it again when destroyed. Owned
// by what holds the bytes; thread-compatible.
class CountedBytes {
 public:
  // `sum` outlives it.
  CountedBytes(std::atomic<int64_t>* sum, int64_t bytes)
      : sum_(sum), bytes_(bytes), before_(sum->fetch_add(bytes)) {}
  CountedBytes(CountedBytes&& other)
      : sum_(other.sum_),
        bytes_(std::exchange(other.bytes_, 0)),
        before_(other.before_) {}
  ~CountedBytes() { sum_->fetch_sub(bytes_); }

  // The sum before these bytes were added.
  int64_t before() const { return before_; }

 private:
  std::atomic<int64_t>* const sum_;
  int64_t bytes_;
  const int64_t before_;
};

// The states of one model that are outside the engine: converts them to and
// from bytes, and saves them in a store. Each state belongs to a partition; for
// the others it does not exist (see StoredHandle).
//
// Owned by the served model; thread-safe. Load and Save may wait for a disk, so
// that calls use them on the worker's thread only.
class SavedStates {
 public:
  struct Options {
    ModelIdentity identity;
    int64_t vocab_size = 0;
    int64_t max_tokens = 0;  // of a snapshot
    absl::Duration time_to_live = absl::Hours(1);
    // Limit on the bytes of all snapshots that Load has returned and that are
    // still in use.
    int64_t max_pending_bytes = int64_t{1} << 30;
  };

  SavedStates(Options options, std::unique_ptr<StateStore> store);

  absl::StatusOr<std::string> Serialize(const Snapshot& snapshot) const;
  // Returns the errors of ParseSnapshot, which name the bytes as `name`.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Parse(
      absl::string_view bytes, absl::string_view name) const;

  // Loads the state with this handle. NotFound if there is none, DataLoss if it
  // is damaged, FailedPrecondition if it belongs to another model.
  // ResourceExhausted with a RetryAfter if the snapshots in use would exceed
  // max_pending_bytes; a single one may always. Or the errors of StateStore.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Load(
      absl::string_view handle, absl::string_view partition = "");
  // The bytes of the state with this handle, whose checksum is right. Errors as
  // for Load, but states of other models are returned, and NotFound names the
  // field "handle".
  absl::StatusOr<std::shared_ptr<const std::string>> Fetch(
      absl::string_view handle, absl::string_view partition = "") const;
  // NotFound, as for Fetch, if there is no state with this handle.
  absl::Status Delete(absl::string_view handle,
                      absl::string_view partition = "");
  // Saves a state for `time_to_live`, or for the default time if that is 0.
  // ResourceExhausted also if the states of the partition would have more than
  // `max_partition_bytes`.
  absl::StatusOr<SavedState> Save(
      std::string bytes, absl::Duration time_to_live,
      absl::string_view partition = "",
      int64_t max_partition_bytes = std::numeric_limits<int64_t>::max());

  // The default time to live.
  absl::Duration time_to_live() const { return options_.time_to_live; }

  // The most bytes that a state of this model can have.
  int64_t max_bytes() const;

  // Counts the calls that may still have a state to send to their client.
  void BeginDelivery() { ++num_deliveries_; }
  void EndDelivery() { --num_deliveries_; }
  int num_deliveries() const { return num_deliveries_; }

  // See StateStore::Check.
  absl::Status CheckStore() { return store_->Check(StoreTime::Now()); }

  StateStore& store() const { return *store_; }
  Worker& worker() { return worker_; }

 private:
  absl::Status TooManyPending(int64_t pending_bytes) const;
  // The bytes with this handle, from the store.
  absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, absl::string_view partition) const;

  const Options options_;
  const std::unique_ptr<StateStore> store_;
  std::atomic<int64_t> pending_bytes_{0};
  std::atomic<int> num_deliveries_{0};
  Worker worker_;  // last: its tasks use the other members
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_SAVED_STATES_H_
