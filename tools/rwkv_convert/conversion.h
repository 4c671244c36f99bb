// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_CONVERSION_H_
#define RWKVD_TOOLS_RWKV_CONVERT_CONVERSION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/dtype.h"
#include "core/checkpoint/tensor.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// The number type that weights are to have; none: they keep their own. The
// value of a flag.
struct TargetDType {
  std::optional<DType> dtype;
};

// "keep", "f32", "f16", "bf16".
bool AbslParseFlag(absl::string_view text, TargetDType* target,
                   std::string* error);
std::string AbslUnparseFlag(const TargetDType& target);

// What weights are to become. A value.
struct Target {
  TargetDType dtype;  // of those that are not quantized
  WeightKind weights = WeightKind::kAsStored;
};

// How `tensor` is quantized for the target; nothing: it is not.
std::optional<QuantForm> FormAfter(const Tensor& tensor, WeightKind weights);

// What type `tensor` has after conversion, if it is not quantized. Not always
// the target: what decays and bonuses are computed from, and initial states,
// are never rounded. Decay is an exponential of an exponential: a rounding of
// its argument to 16 bits moves how long the network remembers by several
// percent. Nor are quantized weights, which stay as they are.
DType DTypeAfter(const Tensor& tensor, TargetDType target);

// Converts `src`, elements of type `from`, to as many of type `to`: the nearest
// number, of two equally near ones the even one. Infinities and NaN stay what
// they are. Stops at a finite number that is too large for `to`, and returns
// its index; nothing: all is well.
std::optional<int64_t> Convert(absl::Span<const std::byte> src, DType from,
                               DType to, absl::Span<std::byte> dst);

// The largest finite number of the type.
float LargestOf(DType dtype);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CONVERSION_H_
