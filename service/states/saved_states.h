// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_SAVED_STATES_H_
#define RWKVD_SERVICE_STATES_SAVED_STATES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/engine/snapshot.h"
#include "core/model/state_file.h"
#include "service/states/state_store.h"
#include "service/states/worker.h"

namespace rwkvd {

// A state that is kept for a client.
struct KeptState {
  std::string handle;
  int64_t bytes = 0;
  absl::Time expires;
};

// Counts bytes for as long as it lives. Moved from, it counts none.
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

  // Of the sum, before these.
  int64_t before() const { return before_; }

 private:
  std::atomic<int64_t>* const sum_;
  int64_t bytes_;
  const int64_t before_;
};

// One model's states outside the engine: their bytes, and where they are kept.
//
// Owned by the served model; thread-safe. What waits for a disk is for the
// worker's thread; reading one state may be done on any thread but the
// engine's.
class SavedStates {
 public:
  struct Options {
    ModelIdentity identity;
    int64_t vocab_size = 0;
    int64_t max_tokens = 0;  // of a snapshot
    absl::Duration time_to_live = absl::Hours(1);
    // Of the snapshots that Open gives out.
    int64_t max_pending_bytes = int64_t{1} << 30;
  };

  SavedStates(Options options, std::unique_ptr<StateStore> store);

  absl::StatusOr<std::string> Serialize(const Snapshot& snapshot) const;
  // Errors as of ParseSnapshot; `name` names the bytes in them.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Parse(
      absl::string_view bytes, absl::string_view name) const;
  // The state of a handle, which counts as open as long as somebody has it:
  // NotFound if there is none; ResourceExhausted with a RetryAfter if it would
  // pass max_pending_bytes, though one alone always may.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Open(
      absl::string_view handle);

  // Keeps it for `time_to_live`, or, at zero, for the default.
  absl::StatusOr<KeptState> Keep(std::string bytes,
                                 absl::Duration time_to_live);

  // No state of this model has more.
  int64_t max_bytes() const;

  // Takes one of kMaxTransfers places for a state that PutState or GetState
  // carries; false if all are taken.
  bool BeginTransfer();
  void EndTransfer() { --num_transfers_; }

  // A call has a state to send, until it has ended.
  void BeginDelivery() { ++num_deliveries_; }
  void EndDelivery() { --num_deliveries_; }
  int num_deliveries() const { return num_deliveries_; }

  StateStore& store() const { return *store_; }
  Worker& worker() { return worker_; }

 private:
  static constexpr int kMaxTransfers = 16;

  const Options options_;
  const std::unique_ptr<StateStore> store_;
  std::atomic<int64_t> pending_bytes_{0};
  std::atomic<int> num_transfers_{0};
  std::atomic<int> num_deliveries_{0};
  Worker worker_;  // its tasks use the others
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_SAVED_STATES_H_
