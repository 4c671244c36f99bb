// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_EXPIRY_INDEX_H_
#define RWKVD_SERVICE_STATES_EXPIRY_INDEX_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// The states of a store, by handle, by the time when they are deleted, and
// their bytes by owner. Only Handles looks at all states. Thread-compatible.
class ExpiryIndex {
 public:
  struct Entry {
    int64_t bytes = 0;
    // When the store deletes the state: a time since boot; see StoreTime.
    absl::Duration deletion;
    // By the system clock, the state had expired when the store found it. The
    // clock may be wrong, so the state is kept for a while, but not served.
    bool is_doubtful = false;
  };

  ExpiryIndex() = default;
  ExpiryIndex(ExpiryIndex&&) = default;  // not copied: see by_deletion_
  ExpiryIndex& operator=(ExpiryIndex&&) = default;

  // Adds a state, or replaces its entry.
  void Set(absl::string_view handle, Entry entry);
  // Does nothing if there is no such state.
  void Remove(absl::string_view handle);

  // Null if there is no such state. Valid until the index changes.
  const Entry* Find(absl::string_view handle) const;
  // The handle of a state that is to be deleted at `since_boot` or earlier.
  std::optional<std::string> FindDue(absl::Duration since_boot) const;
  // The earliest deletion; InfiniteDuration if there are no states.
  absl::Duration NextDeletion() const;

  // All handles, in no particular order. They are valid until the index
  // changes.
  std::vector<absl::string_view> Handles() const;

  // The bytes of all states of the owner; see OwnerIn.
  int64_t BytesOf(absl::string_view owner) const;

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t bytes() const { return bytes_; }

 private:
  absl::node_hash_map<std::string, Entry> entries_;
  // Views the keys of entries_.
  absl::btree_set<std::pair<absl::Duration, absl::string_view>> by_deletion_;
  absl::flat_hash_map<std::string, int64_t> owned_bytes_;  // by owner; not 0
  int64_t bytes_ = 0;                                      // of all entries
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_EXPIRY_INDEX_H_
