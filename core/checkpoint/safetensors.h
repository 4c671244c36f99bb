// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_SAFETENSORS_H_
#define RWKVD_CORE_CHECKPOINT_SAFETENSORS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The tensors of one safetensors file, as views into it.
//
// The format: 8 bytes little-endian length N of the header; N bytes of JSON,
// {"name": {"dtype", "shape", "data_offsets": [begin, end)}, "__metadata__"};
// then the data, to which the offsets count. Tensors cover all of the data,
// without overlaps or holes. (github.com/huggingface/safetensors, README.)
//
// InvalidArgument if `file` breaks any of this, or holds a number type that no
// model computes with; the message names file, tensor, expected and got.
absl::StatusOr<std::vector<Tensor>> ParseSafetensors(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SAFETENSORS_H_
