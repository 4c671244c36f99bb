// SPDX-License-Identifier: Apache-2.0
#include "core/quantize/weight_kind.h"

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

constexpr WeightKind kKinds[] = {WeightKind::kAsStored, WeightKind::kInt8,
                                 WeightKind::kInt8Mixed, WeightKind::kInt4,
                                 WeightKind::kInt4Mixed};
constexpr QuantType kTypes[] = {QuantType::kInt8, QuantType::kInt4};

constexpr absl::string_view kHead = "head.weight";
constexpr absl::string_view kFfnKey = "ffn.key.weight";
// The input of ffn.value is mostly zero, so columns can be skipped.
constexpr absl::string_view kFfnValue = "ffn.value.weight";

// The other quantized matrices of a layer.
constexpr absl::string_view kLayerMatrices[] = {
    "att.receptance.weight", "att.key.weight",  "att.value.weight",
    "att.output.weight",     "att.gate.weight", kFfnKey,
    "ffn.receptance.weight"};

absl::string_view NameOf(QuantType type) {
  return type == QuantType::kInt8 ? "int8" : "int4";
}

// Part of tensor names in files.
absl::string_view NameOf(QuantOrder order) {
  return order == QuantOrder::kRowPanels ? "rows" : "columns";
}

// Returns the first tensor of quants in `file`, or nullptr.
const Tensor* FirstQuants(const TensorFile& file) {
  for (const auto& [name, tensor] : file.tensors()) {
    if (ParseQuantsName(name).has_value()) return &tensor;
  }
  return nullptr;
}

// Returns the orders in which the matrix `name` may be stored, none if it is
// not quantized.
absl::Span<const QuantOrder> OrdersOf(absl::string_view name) {
  static constexpr QuantOrder kBoth[] = {QuantOrder::kRowPanels,
                                         QuantOrder::kColumnBlocks};
  static constexpr auto kOnlyRowPanels = absl::MakeConstSpan(kBoth, 1);
  if (name == kHead) return kOnlyRowPanels;
  if (!absl::ConsumePrefix(&name, "blocks.")) return {};
  while (!name.empty() && absl::ascii_isdigit(name[0])) name.remove_prefix(1);
  if (!absl::ConsumePrefix(&name, ".")) return {};
  if (name == kFfnValue) return kBoth;
  for (absl::string_view matrix : kLayerMatrices) {
    if (name == matrix) return kOnlyRowPanels;
  }
  return {};
}

// Returns the order for a matrix that allows both. With few columns, skipping
// some saves nothing, and int8 row panels take more precise activations
// (int16).
QuantOrder BestOrder(QuantType type, int64_t cols) {
  return type == QuantType::kInt8 && cols < kMinSkippedCols
             ? QuantOrder::kRowPanels
             : QuantOrder::kColumnBlocks;
}

// Returns whether rounding the matrix `name` to int8 costs more quality than
// rounding all others (docs/numerics.md).
bool IsCostly(absl::string_view name) {
  return name == kHead || absl::EndsWith(name, kFfnKey) ||
         absl::EndsWith(name, kFfnValue);
}

}  // namespace

absl::string_view NameOf(WeightKind kind) {
  switch (kind) {
    case WeightKind::kAsStored:
      return "as_stored";
    case WeightKind::kInt8:
      return "int8";
    case WeightKind::kInt8Mixed:
      return "int8,mixed";
    case WeightKind::kInt4:
      return "int4";
    case WeightKind::kInt4Mixed:
      return "int4,mixed";
  }
  return "?";
}

std::optional<WeightKind> WeightKindFromName(absl::string_view name) {
  for (WeightKind kind : kKinds) {
    if (NameOf(kind) == name) return kind;
  }
  return std::nullopt;
}

std::optional<QuantForm> FormOf(WeightKind kind, absl::string_view name,
                                int64_t rows, int64_t cols) {
  const absl::Span<const QuantOrder> orders = OrdersOf(name);
  const bool fits = cols > 0 && cols % kGroupCols == 0 &&
                    (name == kHead || rows % kPanelRows == 0);
  if (orders.empty() || !fits) return std::nullopt;
  const auto form = [&](QuantType type) {
    return QuantForm{type, orders.size() > 1 ? BestOrder(type, cols)
                                             : QuantOrder::kRowPanels};
  };
  switch (kind) {
    case WeightKind::kAsStored:
      return std::nullopt;
    case WeightKind::kInt8:
      return form(QuantType::kInt8);
    case WeightKind::kInt8Mixed:
      if (IsCostly(name)) return std::nullopt;
      return form(QuantType::kInt8);
    case WeightKind::kInt4:
      return form(QuantType::kInt4);
    case WeightKind::kInt4Mixed:
      return form(name == kHead ? QuantType::kInt8 : QuantType::kInt4);
  }
  return std::nullopt;
}

std::string QuantsName(absl::string_view name, QuantForm form) {
  return absl::StrCat(name, ".", NameOf(form.type), ".", NameOf(form.order));
}

std::string ScalesName(absl::string_view name) {
  return absl::StrCat(name, ".scales");
}

std::vector<int64_t> QuantsShape(QuantForm form, int64_t rows, int64_t cols) {
  return {NumPackedBlocks(form.type, form.order, rows),
          PackedBlockBytes(form.type, form.order, cols)};
}

std::vector<int64_t> ScalesShape(QuantForm form, int64_t rows, int64_t cols) {
  return {NumPackedBlocks(form.type, form.order, rows), cols / kGroupCols,
          PackedBlockRows(form.type, form.order)};
}

std::optional<ParsedQuantsName> ParseQuantsName(absl::string_view name) {
  for (QuantType type : kTypes) {
    for (QuantOrder order :
         {QuantOrder::kRowPanels, QuantOrder::kColumnBlocks}) {
      absl::string_view matrix = name;
      if (!absl::ConsumeSuffix(&matrix, QuantsName("", {type, order}))) {
        continue;
      }
      if (absl::c_linear_search(OrdersOf(matrix), order)) {
        return ParsedQuantsName{matrix, {type, order}};
      }
    }
  }
  return std::nullopt;
}

std::optional<StoredQuants> FindQuants(const TensorFile& file,
                                       absl::string_view name) {
  for (QuantType type : kTypes) {
    for (QuantOrder order : OrdersOf(name)) {
      const Tensor* tensor = file.Find(QuantsName(name, {type, order}));
      if (tensor != nullptr) return StoredQuants{tensor, {type, order}};
    }
  }
  return std::nullopt;
}

absl::Status CheckQuantizable(const TensorFile& file, WeightKind kind) {
  if (kind == WeightKind::kAsStored) return absl::OkStatus();
  const Tensor* const quants = FirstQuants(file);
  if (quants != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path(), ": cannot be quantized to ", NameOf(kind),
                     ": it is quantized already (tensor ", Quoted(quants->name),
                     "); it can be used as stored"));
  }
  for (const auto& [name, tensor] : file.tensors()) {
    if (tensor.shape.size() == 2 &&
        FormOf(kind, name, tensor.shape[0], tensor.shape[1]).has_value()) {
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(file.path(), ": cannot be quantized to ", NameOf(kind),
                   ": no matrix has a multiple of ", kPanelRows,
                   " rows and a multiple of ", kGroupCols, " columns"));
}

}  // namespace rwkvd
