// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_DTYPE_H_
#define RWKVD_CORE_BASE_DTYPE_H_

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The element types of tensors in a checkpoint. Models compute with the float
// types directly, without conversion in memory. kU8 holds quantized weights
// (see core/kernels/quant/layout.h).
enum class DType { kF32, kF16, kBF16, kU8 };
inline constexpr int kNumFloatTypes = 3;  // the first three

// The size of one element in bytes.
size_t SizeOf(DType dtype);
// The name that safetensors files use: "F32", "F16", "BF16" or "U8".
absl::string_view NameOf(DType dtype);
std::optional<DType> DTypeFromName(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_DTYPE_H_
