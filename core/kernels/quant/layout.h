// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_QUANT_LAYOUT_H_
#define RWKVD_CORE_KERNELS_QUANT_LAYOUT_H_

#include <cstddef>
#include <cstdint>

namespace rwkvd {

// How int8 and int4 weights are stored, in memory and in files.
// docs/numerics.md gives the reasons; core/kernels/README.md defines the words.
//
// The columns of a matrix [rows, cols] are split into groups of kGroupCols.
// Each row has a bf16 scale per group, and its weights are
//   int8:  w = scale * (q - 128),        q in [1, 255]
//   int4:  w = scale * (16 * q - 128),   q in [0, 15]
// so that both take the same arithmetic once int4 is widened to int8.
enum class QuantType { kInt8, kInt4 };

// The order in which the quants (the q of all weights) of a matrix are stored.
//
// kRowPanels: [rows / 16][cols / 64][16 quads][16 rows][4 columns], a byte
// each. A panel is 16 rows, a block one group of a panel, a quad four adjacent
// columns of all rows of a block. int4: two adjacent quads share their bytes;
// the first one has the low nibbles.
//
// kColumnBlocks: for inputs that are mostly zero, whose columns are skipped. A
// column block is as many rows as fit kBlockColumnBytes per column:
//   int8: [rows / 128][cols][128 rows]
//   int4: [rows / 256][cols][128 bytes], where byte 64 i + j holds rows
//   128 i + j (low nibble) and 128 i + 64 + j (high nibble) of the block.
//
// Scales: [packed blocks][groups][rows of a packed block]. A packed block is a
// panel or a column block. Rows missing to whole packed blocks are stored, and
// zero.
enum class QuantOrder { kRowPanels, kColumnBlocks };

inline constexpr int64_t kGroupCols = 64;
inline constexpr int64_t kPanelRows = 16;
inline constexpr int64_t kBlockColumnBytes = 128;

// The int8 q that stands for zero.
inline constexpr int kQuantZero = 128;

// Rows of a packed block: of a panel, or of a column block.
constexpr int64_t PackedBlockRows(QuantType type, QuantOrder order) {
  if (order == QuantOrder::kRowPanels) return kPanelRows;
  return type == QuantType::kInt8 ? kBlockColumnBytes : 2 * kBlockColumnBytes;
}

// Packed blocks of a matrix.
constexpr int64_t NumPackedBlocks(QuantType type, QuantOrder order,
                                  int64_t rows) {
  const int64_t size = PackedBlockRows(type, order);
  return (rows + size - 1) / size;
}

// Bytes of quants of a packed block. `cols` is a multiple of kGroupCols.
constexpr int64_t PackedBlockBytes(QuantType type, QuantOrder order,
                                   int64_t cols) {
  return PackedBlockRows(type, order) * cols /
         (type == QuantType::kInt8 ? 1 : 2);
}

// Where the q of one weight is in its packed block.
struct QuantPosition {
  int64_t byte;
  bool is_high_nibble;  // int4 only
};
// `row` counts from the packed block's first row.
constexpr QuantPosition PositionInPackedBlock(QuantType type, QuantOrder order,
                                              int64_t row, int64_t col) {
  if (order == QuantOrder::kColumnBlocks) {
    if (type == QuantType::kInt8) return {col * kBlockColumnBytes + row, false};
    return {col * kBlockColumnBytes + row / 128 * 64 + row % 64,
            row % 128 >= 64};
  }
  if (type == QuantType::kInt8) {
    return {(col / 4 * kPanelRows + row) * 4 + col % 4, false};
  }
  return {(col / 8 * kPanelRows + row) * 4 + col % 4, col % 8 >= 4};
}

// Quantized weights [rows, cols]. A view.
struct QuantizedWeights {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRowPanels;
  // Whether the matmul quantizes activations to int16 instead of int8. Only
  // with int8 row panels.
  bool int16_activations = false;
  int64_t rows = 0;
  int64_t cols = 0;                  // a multiple of kGroupCols
  const uint8_t* quants = nullptr;   // aligned to a cache line
  const uint16_t* scales = nullptr;  // bf16
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_QUANT_LAYOUT_H_
