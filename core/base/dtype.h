// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_DTYPE_H_
#define RWKVD_CORE_BASE_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The element types of tensors in a checkpoint.
//
// Models compute with the float types directly, without conversion in memory.
// kU8 holds quantized weights (see core/kernels/quant/layout.h).
//
// The others are the block types of ggml, which GGUF files hold: 32 or 256
// neighboring elements share a block with their quants and scales (see
// core/checkpoint/ggml_blocks.h).
enum class DType {
  kF32,
  kF16,
  kBF16,
  kU8,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
};
inline constexpr int kNumFloatTypes = 3;  // the first three

inline constexpr DType kBlockTypes[] = {
    DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,
    DType::kQ5_1, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
    DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
};

inline bool IsBlockType(DType dtype) { return dtype > DType::kU8; }

// The size of one element in bytes. `dtype` must not be a block type.
size_t SizeOf(DType dtype);
// The number of elements that are stored together, 1 if it is not a block type,
// and the size of these elements in bytes.
int64_t BlockElements(DType dtype);
int64_t BlockBytes(DType dtype);

// The name that safetensors files use, "F32", "F16", "BF16" or "U8", or that
// of a block type in ggml: "Q8_0", "Q4_K", "IQ4_NL", ...
absl::string_view NameOf(DType dtype);
// The inverse of NameOf, except for block types: they are no types of
// safetensors files or flags.
std::optional<DType> DTypeFromName(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_DTYPE_H_
