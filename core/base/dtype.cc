// SPDX-License-Identifier: Apache-2.0
#include "core/base/dtype.h"

namespace rwkvd {

size_t SizeOf(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

absl::string_view NameOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
  }
  return "?";
}

std::optional<DType> DTypeFromName(absl::string_view name) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (NameOf(dtype) == name) return dtype;
  }
  return std::nullopt;
}

}  // namespace rwkvd
