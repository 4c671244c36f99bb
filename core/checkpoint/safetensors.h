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
// The format: the length N of the header, 8 bytes, little endian; N bytes of
// JSON, {"name": {"dtype", "shape", "data_offsets": [begin, end)}, ...,
// "__metadata__"}; then the data, to which the offsets are relative. The
// tensors cover all of the data without overlaps or gaps.
// (github.com/huggingface/safetensors, README.)
//
// Returns InvalidArgument if the file violates the format or has an element
// type other than those of DType; the message names the file, the tensor, the
// expected value and the actual one.
absl::StatusOr<std::vector<Tensor>> ParseSafetensors(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SAFETENSORS_H_
