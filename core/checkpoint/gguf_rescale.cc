// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_rescale.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/float16.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr int64_t kMaxHalvings = 100;  // f32 has no room for many more

// Multiplies each element by `factor`. Returns the index of the first one that
// becomes too large for its type; nothing if there is none.
std::optional<int64_t> Multiply(DType dtype, float factor,
                                absl::Span<std::byte> elements) {
  const size_t size = SizeOf(dtype);
  for (size_t at = 0; at < elements.size(); at += size) {
    float value;
    ToFloat(dtype, elements.subspan(at, size), &value);
    const float product = value * factor;
    uint32_t bits = std::bit_cast<uint32_t>(product);
    if (dtype == DType::kF16) bits = FloatToF16(product);
    if (dtype == DType::kBF16) bits = FloatToBF16(product);
    std::memcpy(elements.data() + at, &bits, size);
    float stored;
    ToFloat(dtype, elements.subspan(at, size), &stored);
    if (std::isfinite(value) && !std::isfinite(stored)) return at / size;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Tensor> WithoutHalvings(Tensor stored, int64_t halvings,
                                       absl::string_view key,
                                       NativeCollector& collector) {
  if (halvings == 0) return stored;
  if (halvings > kMaxHalvings) {
    return collector.TensorError(
        stored, absl::StrCat("is divided by 2^", halvings, " because of ", key,
                             ", the limit is 2^", kMaxHalvings));
  }
  const float factor = std::ldexp(1.0f, static_cast<int>(halvings));
  if (IsBlockType(stored.dtype)) {
    stored.factor = factor;
    return stored;
  }
  RWKVD_ASSIGN_OR_RETURN(const absl::Span<std::byte> copy,
                         collector.NewCopy(stored));
  CopyElements(stored, 0, copy);
  if (const auto index = Multiply(stored.dtype, factor, copy)) {
    return collector.TensorError(
        stored, absl::StrCat("element ", *index, " times ", factor,
                             " is too large for ", NameOf(stored.dtype)));
  }
  stored.data = copy;
  return stored;
}

}  // namespace rwkvd
