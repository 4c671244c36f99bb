// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_STORAGE_ID_H_
#define RWKVD_CORE_CHECKPOINT_STORAGE_ID_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/dtype.h"
#include "core/checkpoint/pickle_object.h"

namespace rwkvd {

// The persistent id of a PyTorch storage:
// ('storage', type, key, device, number of elements[, view]).
// Views the pickle; a value.
struct StorageId {
  absl::string_view type;      // "torch.FloatStorage"
  std::optional<DType> dtype;  // empty if models do not support the type
  absl::string_view key;       // names the bytes in the file
  size_t element_bytes = 0;
  uint64_t num_bytes = 0;  // of the whole storage
  // The part of the storage that the id denotes: elements
  // [first, first + count).
  uint64_t first = 0;
  uint64_t count = 0;
};

// Reads the id of `storage`, a kStorage. Returns InvalidArgument, with a
// message that begins with `where`, if the id does not have the form above.
absl::StatusOr<StorageId> ReadStorageId(const PickleObject& storage,
                                        absl::string_view where);

// Reads a number of elements. Returns false if `object` is not a nonnegative
// integer.
bool ReadCount(const PickleObject& object, uint64_t* count);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STORAGE_ID_H_
