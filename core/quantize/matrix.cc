// SPDX-License-Identifier: Apache-2.0
#include "core/quantize/matrix.h"

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// Returns rows [first, first + num) as f32, row-major.
std::vector<float> RowsOf(const Tensor& matrix, int64_t first, int64_t num) {
  const int64_t cols = matrix.shape[1];
  const Tensor rows = Sliced(matrix, 0, first, first + num);
  if (!rows.is_row_major() || IsBlockType(rows.dtype)) return ToFloat(rows);
  std::vector<float> values(num * cols);
  ToFloat(rows.dtype, rows.data, values.data());
  return values;
}

// Lowers `value` to `other` if `other` is smaller.
void LowerTo(int64_t other, std::atomic<int64_t>& value) {
  int64_t seen = value.load();
  while (other < seen && !value.compare_exchange_weak(seen, other)) {
  }
}

}  // namespace

bool RoundToNearest(int64_t, const QuantizeArgs& args) {
  return QuantizePackedBlock(args);
}

absl::Status QuantizePackedBlocks(const Tensor& matrix, QuantForm form,
                                  int64_t first, int64_t num, ThreadPool& pool,
                                  uint8_t* quants, uint16_t* scales,
                                  PackedBlockQuantizer quantize) {
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  const int64_t block_rows = PackedBlockRows(form.type, form.order);
  const int64_t block_bytes = PackedBlockBytes(form.type, form.order, cols);
  const int64_t block_scales = cols / kGroupCols * block_rows;
  std::atomic<int64_t> first_bad{rows};
  pool.ParallelFor(num, [&](int64_t i) {
    const int64_t begin = (first + i) * block_rows;
    const int64_t own_rows = std::min(block_rows, rows - begin);
    const std::vector<float> values = RowsOf(matrix, begin, own_rows);
    const QuantizeArgs args{.type = form.type,
                            .order = form.order,
                            .w = values.data(),
                            .rows = own_rows,
                            .cols = cols,
                            .quants = quants + i * block_bytes,
                            .scales = scales + i * block_scales};
    if (!quantize(begin, args)) LowerTo(begin, first_bad);
  });
  const int64_t bad = first_bad.load();
  if (bad == rows) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "tensor ", Quoted(matrix.name), ": cannot be quantized: rows ", bad,
      " to ", std::min(bad + block_rows, rows) - 1,
      " contain a weight that is not finite"));
}

absl::StatusOr<QuantizedMatrix> QuantizeMatrix(const Tensor& matrix,
                                               QuantForm form, ThreadPool& pool,
                                               PackedBlockQuantizer quantize) {
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  const int64_t blocks = NumPackedBlocks(form.type, form.order, rows);
  const int64_t block_rows = PackedBlockRows(form.type, form.order);
  QuantizedMatrix result;
  result.quants.resize(blocks * PackedBlockBytes(form.type, form.order, cols));
  result.scales.resize(blocks * (cols / kGroupCols) * block_rows);
  RWKVD_RETURN_IF_ERROR(QuantizePackedBlocks(matrix, form, 0, blocks, pool,
                                             result.quants.data(),
                                             result.scales.data(), quantize));
  return result;
}

}  // namespace rwkvd
