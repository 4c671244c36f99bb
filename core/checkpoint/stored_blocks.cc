// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/stored_blocks.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kTransposed = ".transposed";

struct ParsedName {
  absl::string_view matrix;
  DType dtype;
  bool is_transposed;
};

std::optional<ParsedName> Parse(absl::string_view name) {
  ParsedName parsed;
  parsed.is_transposed = absl::ConsumeSuffix(&name, kTransposed);
  for (DType dtype : kBlockTypes) {
    const std::string suffix =
        absl::StrCat(".", absl::AsciiStrToLower(NameOf(dtype)));
    if (!absl::EndsWith(name, suffix)) continue;
    parsed.dtype = dtype;
    parsed.matrix = name.substr(0, name.size() - suffix.size());
    return parsed;
  }
  return std::nullopt;
}

// Whether it is one of the low-rank matrices, such as "blocks.0.att.w1", which
// GGUF files store transposed.
bool IsLowRank(absl::string_view name) {
  for (absl::string_view letter : {"w", "a", "v", "g"}) {
    for (absl::string_view end : {"1", "2"}) {
      if (absl::EndsWith(name, absl::StrCat(".att.", letter, end)) ||
          absl::EndsWith(name, absl::StrCat("_", letter, end))) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

std::string StoredBlocksName(const Tensor& matrix) {
  return absl::StrCat(matrix.name, ".",
                      absl::AsciiStrToLower(NameOf(matrix.dtype)),
                      matrix.is_row_major() ? "" : kTransposed);
}

std::vector<int64_t> StoredBlocksShape(const Tensor& matrix) {
  const bool plain = matrix.is_row_major();
  const int64_t rows = matrix.shape[plain ? 0 : 1];
  const int64_t cols = matrix.shape[plain ? 1 : 0];
  return {rows, cols / BlockElements(matrix.dtype) * BlockBytes(matrix.dtype)};
}

std::optional<absl::string_view> MatrixOfBlocks(absl::string_view stored) {
  const std::optional<ParsedName> parsed = Parse(stored);
  if (!parsed.has_value()) return std::nullopt;
  return parsed->matrix;
}

absl::StatusOr<Tensor> FromStoredBlocks(Tensor stored, const FileError& error) {
  const std::optional<ParsedName> parsed = Parse(stored.name);
  if (!parsed.has_value()) return stored;
  const FileError where = error.In("tensor", stored.name);
  const int64_t bytes = BlockBytes(parsed->dtype);
  if (stored.dtype != DType::kU8 || stored.shape.size() != 2 ||
      stored.num_elements() == 0 || stored.shape[1] % bytes != 0 ||
      !stored.is_row_major()) {
    return where("expected U8 [rows, a multiple of ", bytes, "], got ",
                 NameOf(stored.dtype), " ", ShapeString(stored.shape));
  }
  if (parsed->is_transposed && !IsLowRank(parsed->matrix)) {
    return where("expected it not transposed: only low-rank matrices are");
  }
  Tensor blocks = stored;
  blocks.name = std::string(parsed->matrix);
  blocks.dtype = parsed->dtype;
  blocks.shape[1] = stored.shape[1] / bytes * BlockElements(parsed->dtype);
  return parsed->is_transposed ? Transposed(blocks, 0, 1) : blocks;
}

}  // namespace rwkvd
