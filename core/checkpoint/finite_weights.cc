// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/finite_weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

// The bits of the exponent, which are all set in infinities and NaN.
constexpr uint32_t kF32Exponent = 0x7F800000;
constexpr uint16_t kF16Exponent = 0x7C00;
constexpr uint16_t kBF16Exponent = 0x7F80;

constexpr int64_t kBlock = 4096;              // elements tested at a time
constexpr int64_t kPiece = int64_t{4} << 20;  // elements of one task

// The index of the first element in which all bits of `mask` are set.
template <typename Bits>
std::optional<int64_t> FindSet(absl::Span<const std::byte> elements,
                               Bits mask) {
  const int64_t num = static_cast<int64_t>(elements.size() / sizeof(Bits));
  Bits block[kBlock];
  for (int64_t first = 0; first < num; first += kBlock) {
    const int64_t size = std::min(kBlock, num - first);
    std::memcpy(block, elements.data() + first * sizeof(Bits),
                size * sizeof(Bits));
    bool found = false;  // no early exit, so that the loop is vectorized
    for (int64_t i = 0; i < size; ++i) found |= (block[i] & mask) == mask;
    if (!found) continue;
    for (int64_t i = 0; i < size; ++i) {
      if ((block[i] & mask) == mask) return first + i;
    }
  }
  return std::nullopt;
}

// The index of the first element, or scale of a block, that is not finite.
std::optional<int64_t> FindInBlocks(DType dtype,
                                    absl::Span<const std::byte> blocks) {
  const int64_t step = kBlock / BlockElements(dtype) * BlockBytes(dtype);
  std::vector<float> values(kBlock);
  for (int64_t at = 0; at < static_cast<int64_t>(blocks.size()); at += step) {
    const auto piece = blocks.subspan(at, step);
    ToFloat(dtype, piece, values.data());
    const int64_t num = static_cast<int64_t>(piece.size()) / BlockBytes(dtype) *
                        BlockElements(dtype);
    for (int64_t i = 0; i < num; ++i) {
      if (std::isfinite(values[i])) continue;
      return at / BlockBytes(dtype) * BlockElements(dtype) + i;
    }
  }
  return std::nullopt;
}

// Some elements of a tensor that one task tests: all of them, unless the tensor
// is row-major.
struct Piece {
  const Tensor* tensor;
  int64_t first;
  int64_t num;
};

std::vector<Piece> PiecesOf(const TensorFile& file) {
  std::vector<Piece> pieces;
  for (const auto& [name, tensor] : file.tensors()) {
    const int64_t num = tensor.num_elements();
    const int64_t step = tensor.is_row_major() ? kPiece : num;
    for (int64_t first = 0; first < num; first += step) {
      pieces.push_back({&tensor, first, std::min(step, num - first)});
    }
  }
  return pieces;
}

std::optional<int64_t> FindIn(const Piece& piece) {
  const Tensor& tensor = *piece.tensor;
  if (!tensor.is_row_major()) return FindNonFinite(tensor);
  const int64_t bytes = BlockBytes(tensor.dtype);
  const int64_t elements = BlockElements(tensor.dtype);
  const auto found = FindNonFinite(
      tensor.dtype, tensor.data.subspan(piece.first / elements * bytes,
                                        piece.num / elements * bytes));
  if (!found.has_value()) return std::nullopt;
  return piece.first + *found;
}

// "blocks.3.att.key.weight" -> "layer 3, "; empty for a tensor of no layer.
std::string LayerOf(absl::string_view name) {
  const std::optional<LayerName> split = SplitLayerName(name);
  if (!split.has_value()) return "";
  return absl::StrCat("layer ", split->number, ", ");
}

float ValueAt(const Tensor& tensor, int64_t element) {
  if (IsBlockType(tensor.dtype)) return ToFloat(tensor)[element];
  std::vector<std::byte> bytes(SizeOf(tensor.dtype));
  CopyElements(tensor, element, absl::MakeSpan(bytes));
  float value;
  ToFloat(tensor.dtype, bytes, &value);
  return value;
}

}  // namespace

std::optional<int64_t> FindNonFinite(DType dtype,
                                     absl::Span<const std::byte> elements) {
  switch (dtype) {
    case DType::kF32:
      return FindSet(elements, kF32Exponent);
    case DType::kF16:
      return FindSet(elements, kF16Exponent);
    case DType::kBF16:
      return FindSet(elements, kBF16Exponent);
    case DType::kU8:
      return std::nullopt;
    default:
      return FindInBlocks(dtype, elements);
  }
}

std::optional<int64_t> FindNonFinite(const Tensor& tensor) {
  if (tensor.is_row_major()) return FindNonFinite(tensor.dtype, tensor.data);
  if (IsBlockType(tensor.dtype)) {
    const std::vector<float> values = ToFloat(tensor);
    return FindNonFinite(
        DType::kF32,
        {reinterpret_cast<const std::byte*>(values.data()), values.size() * 4});
  }
  std::vector<std::byte> elements(tensor.num_bytes());
  CopyElements(tensor, 0, absl::MakeSpan(elements));
  return FindNonFinite(tensor.dtype, elements);
}

absl::Status NonFiniteError(absl::string_view path, const Tensor& tensor,
                            int64_t element) {
  return FileError(path).In("tensor", tensor.name)(
      LayerOf(tensor.name), "element ", element, " is ",
      ValueAt(tensor, element), ", expected a finite weight");
}

absl::Status CheckFinite(const TensorFile& file, ThreadPool& pool) {
  const std::vector<Piece> pieces = PiecesOf(file);
  std::atomic<int64_t> first_bad{static_cast<int64_t>(pieces.size())};
  pool.ParallelFor(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    int64_t seen = first_bad.load();
    if (i >= seen || !FindIn(pieces[i]).has_value()) return;
    while (i < seen && !first_bad.compare_exchange_weak(seen, i)) {
    }
  });
  const int64_t bad = first_bad.load();
  if (bad == static_cast<int64_t>(pieces.size())) return absl::OkStatus();
  // Empty if the file was changed in the meantime, which others report.
  const std::optional<int64_t> element = FindIn(pieces[bad]);
  return NonFiniteError(file.path(), *pieces[bad].tensor, element.value_or(0));
}

absl::Status CheckFinite(const TensorFile& file,
                         absl::FunctionRef<bool()> stop) {
  for (const auto& [name, tensor] : file.tensors()) {
    if (stop()) return absl::CancelledError("stopped");
    const std::optional<int64_t> element = FindNonFinite(tensor);
    if (element.has_value()) {
      return NonFiniteError(file.path(), tensor, *element);
    }
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
