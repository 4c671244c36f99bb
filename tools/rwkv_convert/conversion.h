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

// The number type to convert weights to; none: each tensor keeps its type. The
// value of a flag.
struct TargetDType {
  std::optional<DType> dtype;
};

// "keep", "f32", "f16", "bf16".
bool AbslParseFlag(absl::string_view text, TargetDType* target,
                   std::string* error);
std::string AbslUnparseFlag(const TargetDType& target);

// The form of the converted weights. A value.
struct Target {
  TargetDType dtype;  // of the weights that are not quantized
  WeightKind weights = WeightKind::kAsStored;
};

// The form that `tensor` is quantized to; nothing if it is not quantized.
std::optional<QuantForm> FormAfter(const Tensor& tensor, WeightKind weights);

// The type of `tensor` after conversion, if it is not quantized. This is not
// always the target: the tensors from which decays and bonuses are computed,
// and initial states, are never rounded. A decay is the exponential of an
// exponential, so rounding its argument to 16 bits would change how long the
// model remembers by several percent. Weights that are already quantized to
// int8 or int4 stay as they are.
DType DTypeAfter(const Tensor& tensor, TargetDType target);

// Converts `src`, elements of type `from`, to the same number of elements of
// type `to`. Rounds to the nearest number, ties to even; infinities stay
// infinities and NaN stays NaN. Stops at a finite number that is too large for
// `to` and returns its index; returns nothing if there is none.
std::optional<int64_t> Convert(absl::Span<const std::byte> src, DType from,
                               DType to, absl::Span<std::byte> dst);

// The largest finite number of the type.
float LargestOf(DType dtype);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CONVERSION_H_
