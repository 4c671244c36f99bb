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

// How the large matrices of a model are stored in memory. docs/numerics.md
// gives the reasons for the choices.
enum class WeightKind {
  kAsStored,
  kInt8,
  kInt8Mixed,  // ffn.key, ffn.value and the head as stored
  kInt4,
  kInt4Mixed,  // the head as int8
};

// "as_stored", "int8", "int8,mixed", "int4" or "int4,mixed".
absl::string_view NameOf(WeightKind kind);
// The inverse of NameOf; nullopt for any other string.
std::optional<WeightKind> WeightKindFromName(absl::string_view name);

// How a matrix is quantized. A value.
struct QuantForm {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRowPanels;

  // Whether the matmul quantizes activations to int16; not stored in files.
  bool int16_activations() const {
    return type == QuantType::kInt8 && order == QuantOrder::kRowPanels;
  }
};

// ffn.value as int8 is stored as column blocks if it has at least this many
// columns, else as row panels. docs/numerics.md gives the reason for the
// number.
inline constexpr int64_t kMinSkippedCols = 512;

// Returns how the matrix `name`, [rows, cols], is quantized for `kind`. Returns
// nullopt if it stays as stored: because it is none of the matrices of att, ffn
// and head, which rounding would hurt, or because its size does not allow it.
std::optional<QuantForm> FormOf(WeightKind kind, absl::string_view name,
                                int64_t rows, int64_t cols);

// A checkpoint stores a quantized matrix NAME as two tensors with an entry per
// packed block: U8 "NAME.int8.rows" (or int4, or columns) of shape [packed
// blocks, bytes of a packed block], and BF16 "NAME.scales" of shape [packed
// blocks, groups, rows of a packed block].
std::string QuantsName(absl::string_view name, QuantForm form);
std::string ScalesName(absl::string_view name);
std::vector<int64_t> QuantsShape(QuantForm form, int64_t rows, int64_t cols);
std::vector<int64_t> ScalesShape(QuantForm form, int64_t rows, int64_t cols);

// The parts of the name of a tensor of quants. A view of the name.
struct ParsedQuantsName {
  absl::string_view matrix;
  QuantForm form;
};
// Parses the name of a tensor of quants; nullopt for any other name. Only the
// matrices that FormOf knows are quantized: ffn.value in either order, all
// others as row panels.
std::optional<ParsedQuantsName> ParseQuantsName(absl::string_view name);

// The tensor of quants of a matrix, and how they are stored.
struct StoredQuants {
  const Tensor* tensor;
  QuantForm form;
};
// Finds the quants of the matrix `name`; nullopt if `file` has none.
std::optional<StoredQuants> FindQuants(const TensorFile& file,
                                       absl::string_view name);

// Returns InvalidArgument if the matrices of `file` cannot be quantized to
// `kind`: they are quantized already, or no matrix has a size that allows it.
absl::Status CheckQuantizable(const TensorFile& file, WeightKind kind);

}  // namespace rwkvd

#endif  // RWKVD_CORE_QUANTIZE_WEIGHT_KIND_H_
