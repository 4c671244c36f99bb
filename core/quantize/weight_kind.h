// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_QUANTIZE_WEIGHT_KIND_H_
#define RWKVD_CORE_QUANTIZE_WEIGHT_KIND_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/quant/layout.h"

namespace rwkvd {

// What the large matrices of a network are to be held as. docs/numerics.md
// argues the choices.
enum class WeightKind {
  kAsStored,
  kInt8,
  kInt8Mixed,  // ffn.key, ffn.value and the head as stored
  kInt4,
  kInt4Mixed,  // the head in 8 bits
};

// "as_stored", "int8", "int8,mixed", "int4", "int4,mixed"
absl::string_view NameOf(WeightKind kind);
std::optional<WeightKind> WeightKindFromName(absl::string_view name);

// How a matrix is quantized. A value.
struct QuantForm {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRowPanels;

  // Whether its product takes x in two digits; not stored.
  bool int16_activations() const {
    return type == QuantType::kInt8 && order == QuantOrder::kRowPanels;
  }
};

// Of ffn.value in 8 bits: with fewer columns it is stored by rows.
// docs/numerics.md argues the number.
inline constexpr int64_t kMinSkippedCols = 512;

// How the matrix [rows, cols] called `name` is quantized in a network of that
// kind. Nothing: it stays as it is, since rounding hurts it (all but the
// matrices of att, ffn and head) or since its size does not allow it.
std::optional<QuantForm> FormOf(WeightKind kind, absl::string_view name,
                                int64_t rows, int64_t cols);

// In a checkpoint, two tensors stand in place of a quantized matrix NAME, one
// row for each packed block: U8 "NAME.int8.rows" (or int4, or columns) of shape
// [packed blocks, bytes of a packed block], and BF16 "NAME.scales" of shape
// [packed blocks, groups, rows of a packed block].
std::string QuantsName(absl::string_view name, QuantForm form);
std::string ScalesName(absl::string_view name);
std::vector<int64_t> QuantsShape(QuantForm form, int64_t rows, int64_t cols);
std::vector<int64_t> ScalesShape(QuantForm form, int64_t rows, int64_t cols);

// The name of a tensor of quants, taken apart. Views it.
struct ParsedQuantsName {
  absl::string_view matrix;
  QuantForm form;
};
// Nothing if `name` is that of another tensor: only the matrices that FormOf
// knows are quantized, ffn.value by columns or by rows, all others by rows.
std::optional<ParsedQuantsName> ParseQuantsName(absl::string_view name);

// The quants of the matrix `name`; nothing if `file` has none.
struct StoredQuants {
  const Tensor* tensor;
  QuantForm form;
};
std::optional<StoredQuants> FindQuants(const TensorFile& file,
                                       absl::string_view name);

// InvalidArgument if the matrices of `file` cannot be made `kind`: they are
// quantized already, or none has a size that allows it.
absl::Status CheckQuantizable(const TensorFile& file, WeightKind kind);

}  // namespace rwkvd

#endif  // RWKVD_CORE_QUANTIZE_WEIGHT_KIND_H_
