// SPDX-License-Identifier: Apache-2.0
#include "core/base/dtype.h"

#include <iterator>

#include "core/base/check.h"

namespace rwkvd {
namespace {

struct Traits {
  absl::string_view name;
  int64_t block_elements;
  int64_t block_bytes;
};

// In the order of DType.
constexpr Traits kTraits[] = {
    {"F32", 1, 4},        {"F16", 1, 2},      {"BF16", 1, 2},
    {"U8", 1, 1},         {"Q8_0", 32, 34},   {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},     {"Q5_0", 32, 22},   {"Q5_1", 32, 24},
    {"Q2_K", 256, 84},    {"Q3_K", 256, 110}, {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},   {"Q6_K", 256, 210}, {"IQ4_NL", 32, 18},
    {"IQ4_XS", 256, 136},
};
static_assert(std::size(kTraits) == static_cast<size_t>(DType::kIQ4_XS) + 1);

const Traits& TraitsOf(DType dtype) {
  return kTraits[static_cast<size_t>(dtype)];
}

}  // namespace

size_t SizeOf(DType dtype) {
  RWKVD_CHECK(!IsBlockType(dtype));
  return static_cast<size_t>(TraitsOf(dtype).block_bytes);
}

int64_t BlockElements(DType dtype) { return TraitsOf(dtype).block_elements; }

int64_t BlockBytes(DType dtype) { return TraitsOf(dtype).block_bytes; }

absl::string_view NameOf(DType dtype) { return TraitsOf(dtype).name; }

std::optional<DType> DTypeFromName(absl::string_view name) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kU8}) {
    if (NameOf(dtype) == name) return dtype;
  }
  return std::nullopt;
}

}  // namespace rwkvd
