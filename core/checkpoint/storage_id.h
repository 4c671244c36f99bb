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

// A storage of PyTorch as its persistent id describes it:
// ('storage', type, key, device, number of elements[, view]).
// Views the pickle; a value.
struct StorageId {
  absl::string_view type;      // "torch.FloatStorage"
  std::optional<DType> dtype;  // of that type, if a model computes with it
  absl::string_view key;       // of the bytes in the file
  size_t element_bytes = 0;
  uint64_t num_bytes = 0;  // of all its elements
  // The part that is meant, in elements: [first, first + count).
  uint64_t first = 0;
  uint64_t count = 0;
};

// InvalidArgument, beginning with `where`, if `storage` (a kStorage) is not
// described like that.
absl::StatusOr<StorageId> ReadStorageId(const PickleObject& storage,
                                        absl::string_view where);

// `object` as a number of elements. False if it is none.
bool ReadCount(const PickleObject& object, uint64_t* count);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STORAGE_ID_H_
