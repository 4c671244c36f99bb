// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_QUANT_LAYOUT_H_
#define RWKVD_CORE_KERNELS_QUANT_LAYOUT_H_

#include <cstddef>
#include <cstdint>

namespace rwkvd {

// How weights of 8 and 4 bits lie in memory and in files; docs/numerics.md says
// why. The columns of a matrix [rows, cols] are cut into groups of kGroupCols,
// and each row has a scale for each group:
//   8 bits:  w = scale * (q - 128),        q in [1, 255]
//   4 bits:  w = scale * (16 * q - 128),   q in [0, 15]
// so that both take the same arithmetic once four bits have become eight. A
// scale is a bf16.
enum class QuantType { kInt8, kInt4 };

// The order of the q's of a matrix.
//
// kRowPanels: panels of kPanelRows rows; in a panel, groups; in a group, units
// of four columns; in a unit, the rows, each with its four columns in a byte
// each:
//   [rows / 16][cols / 64][16 units][16 rows][4 columns]
// Of 4 bits, two neighbouring units share the bytes: the first is in the lower
// halves.
//
// kColumnBlocks: for inputs that are zero for the most part, whose columns are
// skipped. Blocks of kBlockBytes bytes a column:
//   8 bits: [rows / 128][cols][128 rows]
//   4 bits: [rows / 256][cols][128 bytes], where byte 64 i + j holds rows
//   128 i + j (lower half) and 128 i + 64 + j of the block.
//
// Scales: [panels][groups][16], or [blocks][groups][rows of a block]. What is
// missing to whole panels or blocks is there, and zero.
enum class QuantOrder { kRowPanels, kColumnBlocks };

inline constexpr int64_t kGroupCols = 64;
inline constexpr int64_t kPanelRows = 16;
inline constexpr int64_t kBlockBytes = 128;

// What stands for zero in a byte.
inline constexpr int kQuantZero = 128;

// Rows that share a run of memory: of a panel, or of a block of columns.
constexpr int64_t PackedBlockRows(QuantType type, QuantOrder order) {
  if (order == QuantOrder::kRowPanels) return kPanelRows;
  return type == QuantType::kInt8 ? kBlockBytes : 2 * kBlockBytes;
}

// Panels or blocks of a matrix.
constexpr int64_t NumPackedBlocks(QuantType type, QuantOrder order,
                                  int64_t rows) {
  const int64_t size = PackedBlockRows(type, order);
  return (rows + size - 1) / size;
}

// Bytes of q of one panel or block. `cols` is a multiple of kGroupCols.
constexpr int64_t PackedBlockBytes(QuantType type, QuantOrder order,
                                   int64_t cols) {
  return PackedBlockRows(type, order) * cols /
         (type == QuantType::kInt8 ? 1 : 2);
}

// Where in its stripe the q of row `row` (of the stripe) and column `col` lies:
// the byte, and of 4 bits which half.
struct QuantPosition {
  int64_t byte;
  bool upper;
};
constexpr QuantPosition PositionInPackedBlock(QuantType type, QuantOrder order,
                                              int64_t row, int64_t col) {
  if (order == QuantOrder::kColumnBlocks) {
    if (type == QuantType::kInt8) return {col * kBlockBytes + row, false};
    return {col * kBlockBytes + row / 128 * 64 + row % 64, row % 128 >= 64};
  }
  if (type == QuantType::kInt8) {
    return {(col / 4 * kPanelRows + row) * 4 + col % 4, false};
  }
  return {(col / 8 * kPanelRows + row) * 4 + col % 4, col % 8 >= 4};
}

// A view of quantized weights. `quants` begins at a cache line.
struct QuantizedWeights {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRowPanels;
  // Whether the product takes x in two digits of 8 bits, or in one. Only in the
  // order of rows.
  bool int16_activations = false;
  int64_t rows = 0;
  int64_t cols = 0;  // a multiple of kGroupCols
  const uint8_t* quants = nullptr;
  const uint16_t* scales = nullptr;  // bf16
};

// Rows of x as a quantized product takes them, with a scale for each group of
// kGroupCols columns. In one digit, x = scale * q with q in [-127, 127]; in
// two, x = scale * (256 * q + low) with a sum in [-32512, 32512]. Made by
// KernelTable::quantize_row.
//
// Some kernels multiply 16 bits (KernelTable::wants_int16_activations). With
// weights of 8 bits they want x / scale whole, besides q or instead of both
// digits: of each four columns the first, the third, the second and the fourth.
//
// A group of all rows lies before the next group, `apart` rows after it: rows
// that are multiplied side by side are side by side.
struct QuantizedActivations {
  int64_t num = 0;
  int64_t cols = 0;   // a multiple of kGroupCols
  int64_t apart = 0;  // at least num
  bool int16_activations = false;
  int8_t* q = nullptr;         // [groups][apart][kGroupCols]
  int8_t* low = nullptr;       // the same: of two digits
  int16_t* pairs = nullptr;    // the same, for kernels that take it
  float* scales = nullptr;     // [groups][apart]
  int32_t* offsets = nullptr;  // the same: -kQuantZero * the sum of x / scale

  int64_t groups() const { return cols / kGroupCols; }
  // Where a group's scale and offset are, and kGroupCols times that, its q.
  int64_t At(int64_t row, int64_t group) const { return group * apart + row; }
};

// y[i][r] = sum over the groups g in order, in f32, of
//   (sum of (w / scale) * (x / scale)) * (scale of w * scale of x):
// the inner sum is one of integers below 2^31, so any order gives the same.
struct QuantizedMatMulArgs {
  QuantizedWeights w;
  QuantizedActivations x;
  float* y = nullptr;  // [x.num, w.rows], rows y_stride apart
  int64_t y_stride = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_QUANT_LAYOUT_H_
