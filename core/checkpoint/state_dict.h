// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_STATE_DICT_H_
#define RWKVD_CORE_CHECKPOINT_STATE_DICT_H_

#include <cstddef>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/pickle_object.h"
#include "core/checkpoint/storage_id.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The bytes of each storage of a file, by the storage's key (see storage_id.h).
using StorageMap =
    absl::flat_hash_map<absl::string_view, absl::Span<const std::byte>>;

// The tensors of a state dict, in its order, as views into `storages`. The
// state dict is `root` itself or its value for "state_dict", "model" or another
// usual key, which may contain such a value in turn. Values other than tensors
// are ignored.
//
// Returns InvalidArgument, with a message that begins with `where` and names
// the tensor, if
// - there is no tensor, or two have the same name;
// - a tensor is not F32, F16 or BF16, repeats elements, or exceeds its storage;
// - all tensors together take far more bytes than the storages;
// - the rwkv pip package has converted the tensors;
// - CheckSupported refuses the names.
// Time and memory are linear in the size of the pickle.
absl::StatusOr<std::vector<Tensor>> ReadStateDict(const PickleObject& root,
                                                  const StorageMap& storages,
                                                  absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STATE_DICT_H_
