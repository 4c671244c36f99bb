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

// The bytes of each storage of a file, by key (see storage_id.h).
using StorageMap =
    absl::flat_hash_map<absl::string_view, absl::Span<const std::byte>>;

// The tensors of the state dict that `root` is, or wraps under "state_dict" or
// "model", in its order, as views into `storages`. Everything in it that is
// not a tensor is passed over.
//
// InvalidArgument, beginning with `where` and naming the tensor, if there is
// none, a name comes twice, a tensor is not of F32, F16 or BF16, repeats its
// elements or reaches outside its storage, if all take far more bytes than the
// storages, or if they were rewritten by the rwkv pip package. Time and memory
// are linear in the pickle.
absl::StatusOr<std::vector<Tensor>> ReadStateDict(const PickleObject& root,
                                                  const StorageMap& storages,
                                                  absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STATE_DICT_H_
