// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_STATE_DICT_H_
#define RWKVD_CORE_CHECKPOINT_STATE_DICT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/pickle_object.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// A storage of PyTorch as its persistent id describes it:
// ('storage', type, key, device, number of elements[, view]).
struct StorageId {
  absl::string_view type;    // "torch.FloatStorage"
  absl::string_view key;     // of the bytes in the file
  size_t element_bytes = 0;  // of that type
  uint64_t num_bytes = 0;    // of all its elements
  // The part that is meant, in elements: [first, first + count).
  uint64_t first = 0;
  uint64_t count = 0;
};

// InvalidArgument, beginning with `where`, if `storage` (a kStorage) is not
// described like that.
absl::StatusOr<StorageId> ReadStorageId(const PickleObject& storage,
                                        absl::string_view where);

// The bytes of each storage of a file, by key.
using StorageMap =
    absl::flat_hash_map<absl::string_view, absl::Span<const std::byte>>;

// The tensors of the state dict that `root` is, or wraps under "state_dict" or
// "model", in its order, as views into `storages`. Everything in it that is
// not a tensor is passed over.
//
// InvalidArgument, beginning with `where` and naming the tensor, if there is
// none, a name comes twice, a tensor is not of F32, F16 or BF16 or reaches
// outside its storage, or if they were rewritten by the rwkv pip package.
absl::StatusOr<std::vector<Tensor>> ReadStateDict(const PickleObject& root,
                                                  const StorageMap& storages,
                                                  absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STATE_DICT_H_
