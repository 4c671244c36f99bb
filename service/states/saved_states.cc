// SPDX-License-Identifier: Apache-2.0
#include "service/states/saved_states.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/retry_after.h"
#include "core/base/status_macros.h"
#include "service/states/state_handle.h"

namespace rwkvd {
namespace {

// When a client should retry if the pending states use too many bytes.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string NameOf(absl::string_view handle) {
  return absl::StrCat("state ", handle);
}

// `status` of an access by handle: that there is no such state is the fault of
// the request's field.
absl::Status InHandle(const absl::Status& status) {
  return absl::IsNotFound(status) ? InField("handle", status) : status;
}

// `status` of a check of bytes that the server has saved: that they are wrong
// is not the client's fault.
absl::Status OfSavedBytes(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return MakeError(ErrorReason::kSavedStateDamaged, status.message());
}

// A loaded snapshot together with its part of pending_bytes_.
struct Loaded {
  std::shared_ptr<const Snapshot> snapshot;
  CountedBytes counted;
};

}  // namespace

SavedStates::SavedStates(Options options, std::unique_ptr<StateStore> store)
    : options_(std::move(options)), store_(std::move(store)) {}

absl::StatusOr<std::string> SavedStates::Serialize(
    const Snapshot& snapshot) const {
  return SerializeSnapshot(snapshot, options_.identity);
}

absl::StatusOr<std::shared_ptr<const Snapshot>> SavedStates::Parse(
    absl::string_view bytes, absl::string_view name) const {
  RWKVD_ASSIGN_OR_RETURN(Snapshot snapshot,
                         ParseSnapshot(AsBytes(bytes), name, options_.identity,
                                       options_.vocab_size));
  return std::make_shared<const Snapshot>(std::move(snapshot));
}

absl::StatusOr<std::shared_ptr<const Snapshot>> SavedStates::Load(
    absl::string_view handle, absl::string_view partition) {
  // Nothing is read if no state of any size would fit.
  const int64_t pending = pending_bytes_.load();
  if (pending > 0 && pending >= options_.max_pending_bytes) {
    return TooManyPending(pending);
  }
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const std::string> bytes,
                         Get(handle, partition));
  const auto size = static_cast<int64_t>(bytes->size());
  CountedBytes counted(&pending_bytes_, size);
  if (counted.before() > 0 &&
      counted.before() + size > options_.max_pending_bytes) {
    return TooManyPending(counted.before());
  }
  absl::StatusOr<std::shared_ptr<const Snapshot>> snapshot =
      Parse(*bytes, NameOf(handle));
  if (!snapshot.ok()) return OfSavedBytes(snapshot.status());
  const Snapshot* const loaded = snapshot->get();
  return std::shared_ptr<const Snapshot>(
      std::make_shared<Loaded>(
          Loaded{*std::move(snapshot), std::move(counted)}),
      loaded);
}

absl::StatusOr<std::shared_ptr<const std::string>> SavedStates::Fetch(
    absl::string_view handle, absl::string_view partition) const {
  auto bytes = Get(handle, partition);
  if (!bytes.ok()) return InHandle(bytes.status());
  RWKVD_RETURN_IF_ERROR(
      OfSavedBytes(CheckStateFile(AsBytes(**bytes), NameOf(handle))));
  return bytes;
}

absl::Status SavedStates::Delete(absl::string_view handle,
                                 absl::string_view partition) {
  const StoreTime now = StoreTime::Now();
  const absl::Status deleted =
      store_->Delete(StoredHandle(handle, partition), now);
  return InHandle(absl::IsNotFound(deleted) ? NoSuchState(handle, now.system)
                                            : deleted);
}

absl::StatusOr<std::shared_ptr<const std::string>> SavedStates::Get(
    absl::string_view handle, absl::string_view partition) const {
  const StoreTime now = StoreTime::Now();
  auto bytes = store_->Get(StoredHandle(handle, partition), now, max_bytes());
  if (!absl::IsNotFound(bytes.status())) return bytes;
  return NoSuchState(handle, now.system);  // not of the stored handle
}

absl::Status SavedStates::TooManyPending(int64_t pending_bytes) const {
  return WithRetryAfter(
      WithQuota(
          MakeError(
              ErrorReason::kPendingStatesExhausted,
              absl::StrCat(
                  "requests that continue from a state hold ", pending_bytes,
                  " bytes, of at most ", options_.max_pending_bytes,
                  " (--max_pending_states_mib); this one does not fit")),
          "max_pending_states_mib"),
      kRetryAfter);
}

absl::StatusOr<SavedState> SavedStates::Save(std::string bytes,
                                             absl::Duration time_to_live,
                                             absl::string_view partition,
                                             int64_t max_partition_bytes) {
  const StoreTime now = StoreTime::Now();
  if (time_to_live <= absl::ZeroDuration()) {
    time_to_live = options_.time_to_live;
  }
  SavedState saved;
  saved.bytes = static_cast<int64_t>(bytes.size());
  saved.expires = now.system + time_to_live;
  saved.handle = NewStateHandle(saved.expires);
  RWKVD_RETURN_IF_ERROR(store_->PutAs(StoredHandle(saved.handle, partition),
                                      std::move(bytes), now, time_to_live,
                                      max_partition_bytes));
  return saved;
}

int64_t SavedStates::max_bytes() const {
  return MaxSnapshotBytes(options_.identity, options_.vocab_size,
                          options_.max_tokens);
}

}  // namespace rwkvd
