// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_DTYPE_H_
#define RWKVD_CORE_BASE_DTYPE_H_

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Number types of weights that the models compute with where they lie; and
// bytes, as which quantized weights are stored (see
// core/kernels/quant/layout.h).
enum class DType { kF32, kF16, kBF16, kU8 };
inline constexpr int kNumFloatTypes = 3;  // the first ones

// Bytes of one element.
size_t SizeOf(DType dtype);
// "F32", "F16", "BF16", "U8": the spelling of safetensors.
absl::string_view NameOf(DType dtype);
std::optional<DType> DTypeFromName(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_DTYPE_H_
