// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/conversion.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/base/float16.h"

namespace rwkvd {
namespace {

// The ends of the names of tensors that keep their type: decay and bonus of
// versions 4 to 6, decay of version 7, and initial states. The scales of
// quantized weights keep it, too.
constexpr absl::string_view kNeverRounded[] = {
    ".att.time_decay", ".att.time_first", ".att.time_faaaa",
    ".att.w0",         ".att.time_state",
};
constexpr absl::string_view kScales = ".scales";

float Decode(const std::byte* elements, int64_t index, DType dtype) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, elements + index * sizeof(value), sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, elements + index * sizeof(bits), sizeof(bits));
  return dtype == DType::kBF16 ? BF16ToFloat(bits) : F16ToFloat(bits);
}

void Encode(float value, DType dtype, int64_t index, std::byte* elements) {
  if (dtype == DType::kF32) {
    std::memcpy(elements + index * sizeof(value), &value, sizeof(value));
    return;
  }
  const uint16_t bits =
      dtype == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
  std::memcpy(elements + index * sizeof(bits), &bits, sizeof(bits));
}

}  // namespace

bool AbslParseFlag(absl::string_view text, TargetDType* target,
                   std::string* error) {
  target->dtype = DTypeFromName(absl::AsciiStrToUpper(text));
  *error = "expected keep, f32, f16 or bf16";
  return text == "keep" ||
         (target->dtype.has_value() && target->dtype != DType::kU8);
}

std::string AbslUnparseFlag(const TargetDType& target) {
  return target.dtype.has_value() ? absl::AsciiStrToLower(NameOf(*target.dtype))
                                  : "keep";
}

std::optional<QuantForm> FormAfter(const Tensor& tensor, WeightKind weights) {
  if (tensor.shape.size() != 2) return std::nullopt;
  return FormOf(weights, tensor.name, tensor.shape[0], tensor.shape[1]);
}

DType DTypeAfter(const Tensor& tensor, TargetDType target) {
  if (tensor.dtype == DType::kU8 || absl::EndsWith(tensor.name, kScales)) {
    return tensor.dtype;
  }
  const DType wanted = target.dtype.value_or(tensor.dtype);
  if (wanted == DType::kF32) return wanted;
  for (absl::string_view ending : kNeverRounded) {
    if (absl::EndsWith(tensor.name, ending)) return tensor.dtype;
  }
  return wanted;
}

std::optional<int64_t> Convert(absl::Span<const std::byte> src, DType from,
                               DType to, absl::Span<std::byte> dst) {
  if (from == to) {
    std::copy(src.begin(), src.end(), dst.begin());
    return std::nullopt;
  }
  const float largest = LargestOf(to);
  const int64_t num = static_cast<int64_t>(src.size() / SizeOf(from));
  for (int64_t i = 0; i < num; ++i) {
    const float value = Decode(src.data(), i, from);
    if (std::abs(value) > largest && std::isfinite(value)) return i;
    Encode(value, to, i, dst.data());
  }
  return std::nullopt;
}

float LargestOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return std::numeric_limits<float>::max();
    case DType::kF16:
      return 65504;
    case DType::kBF16:
      return 0x1.FEp127f;
    default:
      return 255;  // U8; blocks are never a target
  }
}

}  // namespace rwkvd
