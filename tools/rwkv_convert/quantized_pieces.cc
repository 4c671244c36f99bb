// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/quantized_pieces.h"

#include <algorithm>
#include <cstdint>

#include "core/base/status_macros.h"
#include "core/quantize/matrix.h"

namespace rwkvd {
namespace {

// Of quants, unless one packed block for each thread is more.
constexpr int64_t kPieceBytes = 8 << 20;

// Releases the pages that were read to quantize rows [begin, end).
void ReleaseRows(const Tensor& matrix, int64_t begin, int64_t end,
                 const FilePages& pages) {
  end = std::min(end, matrix.shape[0]);
  pages.Release(matrix.is_row_major() ? Sliced(matrix, 0, begin, end).data
                                      : matrix.data);
}

template <typename Vector>
absl::Span<const std::byte> BytesOf(const Vector& values) {
  return {reinterpret_cast<const std::byte*>(values.data()),
          values.size() * sizeof(values[0])};
}

std::vector<std::byte> CopyOfBytes(const std::vector<uint16_t>& scales) {
  const absl::Span<const std::byte> bytes = BytesOf(scales);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> QuantizeInPieces(
    const Tensor& matrix, QuantForm form, Calibration* calibration,
    Calibration::OnProgress progress, const FilePages& pages, ThreadPool& pool,
    absl::FunctionRef<absl::Status(absl::Span<const std::byte>)> write) {
  if (calibration != nullptr) {
    RWKVD_ASSIGN_OR_RETURN(const QuantizedMatrix quantized,
                           calibration->Take(matrix, progress));
    RWKVD_RETURN_IF_ERROR(write(BytesOf(quantized.quants)));
    return CopyOfBytes(quantized.scales);
  }
  const int64_t cols = matrix.shape[1];
  const int64_t blocks =
      NumPackedBlocks(form.type, form.order, matrix.shape[0]);
  const int64_t block_rows = PackedBlockRows(form.type, form.order);
  const int64_t block_bytes = PackedBlockBytes(form.type, form.order, cols);
  const int64_t block_scales = cols / kGroupCols * block_rows;
  const int64_t step =
      std::max<int64_t>(pool.num_threads(), kPieceBytes / block_bytes);
  std::vector<uint16_t> scales(blocks * block_scales);
  std::vector<uint8_t> quants(std::min(step, blocks) * block_bytes);
  for (int64_t first = 0; first < blocks; first += step) {
    const int64_t num = std::min(step, blocks - first);
    RWKVD_RETURN_IF_ERROR(
        QuantizePackedBlocks(matrix, form, first, num, pool, quants.data(),
                             scales.data() + first * block_scales));
    ReleaseRows(matrix, first * block_rows, (first + num) * block_rows, pages);
    RWKVD_RETURN_IF_ERROR(write(BytesOf(quants).first(num * block_bytes)));
  }
  return CopyOfBytes(scales);
}

}  // namespace rwkvd
