// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/gguf_values.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// GGUF is the file format of llama.cpp: "GGUF", the version (u32), the numbers
// of tensors and of key-values (u64), the key-values, a description of each
// tensor, and, at a multiple of general.alignment, the data. Everything is
// little-endian. (ggml/docs/gguf.md.)

// One GGUF file. Views the file. The dimensions of tensors are in the order of
// PyTorch, with the one that varies fastest last, so that all of them are
// row-major.
struct Gguf {
  GgufValues values;
  std::vector<Tensor> tensors;
};

// Whether `bytes` begin like a GGUF file.
bool IsGguf(absl::Span<const std::byte> bytes);

// Reads the header of a GGUF file of version 2 or 3. Of the tensors' data it
// checks the position only: within the file, aligned, and not overlapping.
//
// Returns InvalidArgument if the format is violated, a limit is exceeded, or a
// tensor has an unknown type; the message has the file, the key or tensor, or
// the position. Time and memory are linear in the size of the header.
absl::StatusOr<Gguf> ParseGguf(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_H_
