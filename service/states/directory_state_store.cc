// SPDX-License-Identifier: Apache-2.0
#include "service/states/directory_state_store.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "core/base/status_macros.h"
#include "service/states/state_file_name.h"
#include "service/states/state_handle.h"

namespace rwkvd {
namespace {

// A draft of this age was left by a process that has ended.
constexpr absl::Duration kDraftAge = absl::Hours(1);

// The most expired files that one call deletes, unless it needs their room.
constexpr int64_t kMaxDeletionsPerCall = 64;

// When a client should retry if the disk is full.
constexpr absl::Duration kRetryAfterFullDisk = absl::Seconds(10);

// The longest time for which a state can be saved, which the service limits.
constexpr absl::Duration kMaxTimeToLive = absl::Hours(365 * 24);

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryStateStore>> DirectoryStateStore::Open(
    const std::string& directory, int64_t max_bytes, StoreTime now) {
  RWKVD_RETURN_IF_ERROR(StateDirectory::Prepare(directory, IsOwnFile));
  std::unique_ptr<DirectoryStateStore> store(
      new DirectoryStateStore(directory, max_bytes, now));
  RWKVD_RETURN_IF_ERROR(store->Check(now));
  return store;
}

absl::StatusOr<StateDirectory> DirectoryStateStore::OpenDirectory(
    StoreTime now) {
  RWKVD_ASSIGN_OR_RETURN(StateDirectory directory, StateDirectory::Open(path_));
  bool is_indexed = false;
  {
    absl::MutexLock lock(&mutex_);
    is_indexed = directory.IsSameAs(indexed_);
  }
  if (!is_indexed) RWKVD_RETURN_IF_ERROR(Scan(directory, now));
  return directory;
}

absl::Status DirectoryStateStore::PutAs(const std::string& handle,
                                        std::string bytes, StoreTime now,
                                        absl::Duration time_to_live,
                                        int64_t max_owner_bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  clock_.CompareClocks(now);
  absl::MutexLock put_lock(&put_mutex_);
  const absl::StatusOr<StateDirectory> directory = OpenDirectory(now);
  if (!directory.ok()) return Failure(directory.status());
  const absl::Status deleted = DeleteDue(*directory, now, kMaxDeletionsPerCall);
  if (!deleted.ok()) return Failure(deleted);
  RWKVD_RETURN_IF_ERROR(MakeRoom(*directory, now, size));
  {
    absl::MutexLock lock(&mutex_);
    const int64_t owned = index_.BytesOf(OwnerIn(handle));
    if (size > max_owner_bytes - owned) {
      return NoRoomForOwner(size, owned, max_owner_bytes);
    }
  }
  const absl::Status written =
      directory->Write(StateFileName(handle), bytes, now.system);
  if (!written.ok()) return Failure(written);
  SetUsable(true);
  absl::MutexLock lock(&mutex_);
  index_.Set(handle, {size, now.since_boot + time_to_live});
  return absl::OkStatus();
}

absl::Status DirectoryStateStore::MakeRoom(const StateDirectory& directory,
                                           StoreTime now, int64_t size) {
  while (true) {
    absl::Duration next_deletion;
    {
      absl::MutexLock lock(&mutex_);
      if (size <= max_bytes_ - index_.bytes()) return absl::OkStatus();
      next_deletion = index_.NextDeletion() - now.since_boot;
      if (next_deletion > absl::ZeroDuration()) {
        return NoRoom(size, index_.bytes(), max_bytes_, next_deletion);
      }
    }
    const absl::Status deleted =
        DeleteDue(directory, now, kMaxDeletionsPerCall);
    if (!deleted.ok()) return Failure(deleted);
  }
}

absl::StatusOr<std::shared_ptr<const std::string>> DirectoryStateStore::Get(
    absl::string_view handle, StoreTime now, int64_t max_bytes) {
  const std::optional<absl::Time> expiry = ExpiryOf(handle);
  if (!expiry.has_value()) return NoSuchState(handle, now.system);
  clock_.CompareClocks(now);
  {
    absl::MutexLock lock(&mutex_);
    const ExpiryIndex::Entry* const entry = index_.Find(handle);
    if (entry != nullptr ? !StoreClock::IsServed(*entry, *expiry, now)
                         : *expiry <= clock_.EarliestNow(now)) {
      return NoSuchState(handle, now.system);
    }
  }
  const auto directory = StateDirectory::Open(path_);
  if (!directory.ok()) return Failure(directory.status());
  auto contents = directory->Read(StateFileName(handle), max_bytes);
  if (!contents.ok() && !absl::IsNotFound(contents.status())) {
    return Failure(contents.status());
  }
  absl::MutexLock lock(&mutex_);
  if (!contents.ok()) {
    index_.Remove(handle);  // another server has deleted it
    return NoSuchState(handle, now.system);
  }
  const ExpiryIndex::Entry* entry = index_.Find(handle);
  if (entry == nullptr) {  // another server has saved it
    StoreClock::Oddities oddities;
    index_.Set(handle, clock_.EntryOf(contents->file, *expiry, now, &oddities));
    entry = index_.Find(handle);
  }
  if (!StoreClock::IsServed(*entry, *expiry, now)) {
    return NoSuchState(handle, now.system);
  }
  return std::make_shared<const std::string>(std::move(contents->bytes));
}

absl::Status DirectoryStateStore::Delete(absl::string_view handle,
                                         StoreTime now) {
  const std::optional<absl::Time> expiry = ExpiryOf(handle);
  if (!expiry.has_value()) return NoSuchState(handle, now.system);
  clock_.CompareClocks(now);
  bool is_served = clock_.EarliestNow(now) < *expiry;
  {
    absl::MutexLock lock(&mutex_);
    const ExpiryIndex::Entry* const entry = index_.Find(handle);
    if (entry != nullptr) {
      is_served = StoreClock::IsServed(*entry, *expiry, now);
    }
  }
  const absl::StatusOr<StateDirectory> directory = OpenDirectory(now);
  if (!directory.ok()) return Failure(directory.status());
  const absl::StatusOr<bool> existed = DeleteFile(*directory, handle);
  if (!existed.ok()) return Failure(existed.status());
  const absl::Status deleted = DeleteDue(*directory, now, kMaxDeletionsPerCall);
  if (!deleted.ok()) return Failure(deleted);
  return *existed && is_served ? absl::OkStatus()
                               : NoSuchState(handle, now.system);
}

absl::StatusOr<bool> DirectoryStateStore::DeleteFile(
    const StateDirectory& directory, absl::string_view handle) {
  RWKVD_ASSIGN_OR_RETURN(const bool existed,
                         directory.Delete(StateFileName(handle)));
  absl::MutexLock lock(&mutex_);
  index_.Remove(handle);
  return existed;
}

absl::Status DirectoryStateStore::DeleteDue(const StateDirectory& directory,
                                            StoreTime now, int64_t max_files) {
  for (int64_t i = 0; i < max_files; ++i) {
    std::optional<std::string> handle;
    {
      absl::MutexLock lock(&mutex_);
      handle = index_.FindDue(now.since_boot);
      if (!handle.has_value()) return absl::OkStatus();
      const ExpiryIndex::Entry entry = *index_.Find(*handle);
      const absl::Time expiry = ExpiryOf(*handle).value_or(now.system);
      if (entry.is_doubtful && expiry > now.system) {
        // The clock has been corrected meanwhile: the state was valid.
        index_.Set(*handle,
                   {entry.bytes, now.since_boot + std::min(expiry - now.system,
                                                           kMaxTimeToLive)});
        continue;
      }
    }
    RWKVD_RETURN_IF_ERROR(DeleteFile(directory, *handle).status());
  }
  return absl::OkStatus();
}

absl::Status DirectoryStateStore::Check(StoreTime now) {
  clock_.CompareClocks(now);
  const auto check = [&] {
    RWKVD_ASSIGN_OR_RETURN(const StateDirectory directory,
                           StateDirectory::Open(path_));
    RWKVD_RETURN_IF_ERROR(Scan(directory, now));
    RWKVD_RETURN_IF_ERROR(
        DeleteDue(directory, now, std::numeric_limits<int64_t>::max()));
    const absl::StatusOr<absl::Time> disk_time =
        directory.TryOut(NewDraftName());
    RWKVD_RETURN_IF_ERROR(disk_time.status());
    const absl::Duration ahead = *disk_time - now.system;
    if (absl::AbsDuration(ahead) > StoreClock::kMaxDifference) {
      clock_log_.Warning(absl::StrCat("the clock of the file system of ", path_,
                                      " differs from the system clock by ",
                                      absl::FormatDuration(ahead)));
    }
    return absl::OkStatus();
  };
  const absl::Status status = check();
  // A full disk and a lack of descriptors are reported to those who need them.
  const bool is_usable = status.ok() || absl::IsResourceExhausted(status);
  SetUsable(is_usable);
  if (is_usable) return absl::OkStatus();
  return absl::Status(absl::StatusCode::kUnavailable, status.message());
}

absl::Status DirectoryStateStore::Scan(const StateDirectory& directory,
                                       StoreTime now) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<StateDirectory::File> files,
                         directory.List());
  for (const StateDirectory::File& file : files) {
    if (IsOldDraft(file, now)) {
      Note(directory.Delete(file.name).status());
    } else if (IsOwnFile(file.name) && !file.is_private) {
      Note(directory.MakePrivate(file.name));
    }
  }
  StoreClock::Oddities oddities;
  std::vector<std::string> missing;
  {
    absl::MutexLock lock(&mutex_);
    indexed_ = directory.info();
    missing = Index(files, now, &oddities);
  }
  clock_.LogOddities(oddities);
  for (const std::string& handle : missing) {
    if (directory.MayContain(StateFileName(handle))) continue;  // it is new
    absl::MutexLock lock(&mutex_);
    index_.Remove(handle);
  }
  return absl::OkStatus();
}

std::vector<std::string> DirectoryStateStore::Index(
    absl::Span<const StateDirectory::File> files, StoreTime now,
    StoreClock::Oddities* oddities) {
  absl::flat_hash_set<absl::string_view> found;
  for (const StateDirectory::File& file : files) {
    const absl::string_view handle = HandleIn(file.name);
    if (handle.empty()) continue;
    found.insert(handle);
    if (index_.Find(handle) != nullptr) continue;
    index_.Set(handle, clock_.EntryOf(file, *ExpiryOf(handle), now, oddities));
  }
  std::vector<std::string> missing;
  for (const absl::string_view handle : index_.Handles()) {
    if (!found.contains(handle)) missing.emplace_back(handle);
  }
  return missing;
}

bool DirectoryStateStore::IsOldDraft(const StateDirectory::File& file,
                                     StoreTime now) const {
  return IsDraft(file.name) &&
         clock_.EarliestNow(now) - file.modified > kDraftAge;
}

void DirectoryStateStore::Note(const absl::Status& status) {
  if (status.ok()) return;
  failure_log_.Warning(absl::StrCat("state store: ", status.message()));
}

absl::Status DirectoryStateStore::Failure(const absl::Status& error) {
  Note(error);
  if (absl::IsDataLoss(error)) {
    return MakeError(ErrorReason::kSavedStateDamaged,
                     "the saved state is damaged");
  }
  if (absl::IsResourceExhausted(error)) {
    return WithRetryAfter(
        MakeError(
            ErrorReason::kStateDiskFull,
            "the server cannot store or read states at the moment: its disk is "
            "full, or another resource is exhausted"),
        kRetryAfterFullDisk);
  }
  SetUsable(false);
  return MakeError(ErrorReason::kStateDiskFailed,
                   "the server's disk for states has failed");
}

void DirectoryStateStore::SetUsable(bool is_usable) {
  absl::MutexLock lock(&mutex_);
  is_usable_ = is_usable;
}

StateStore::Figures DirectoryStateStore::figures() const {
  absl::MutexLock lock(&mutex_);
  return {index_.size(), index_.bytes(), is_usable_};
}

}  // namespace rwkvd
