// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_QUANTIZE_ROUNDING_H_
#define RWKVD_CORE_QUANTIZE_ROUNDING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kernels/quant/layout.h"

namespace rwkvd {

// One packed block (a panel or a block, see quantized.h) of a matrix, before
// and after.
struct QuantizeArgs {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRowPanels;
  const float* w = nullptr;    // [rows, cols], row-major
  int64_t rows = 0;            // at most PackedBlockRows(type, order)
  int64_t cols = 0;            // a multiple of kGroupCols
  uint8_t* quants = nullptr;   // [PackedBlockBytes(type, order, cols)], written
  uint16_t* scales = nullptr;  // bf16 [groups][PackedBlockRows()], written
};

// Quantizes a packed block. Of the bf16 numbers near the largest weight of a
// group divided by the largest q, its scale is the one that leaves the smallest
// sum of squared errors; each q is the nearest. A group without a weight of at
// least 2^-100 is zero, as are the rows missing to a whole packed block.
//
// The same bytes on every processor. Thread-safe. False if a weight is not
// finite: what was written then means nothing.
bool QuantizePackedBlock(const QuantizeArgs& args);

// What QuantizePackedBlock does, step by step, for who rounds in another way.

// Makes all of the packed block zero.
void ClearPackedBlock(const QuantizeArgs& args);

// The numbers that the weights of one group can become. A value.
class QuantGrid {
 public:
  // With the scale that the weights w [kGroupCols] get. Nothing: one of them
  // is not finite.
  static std::optional<QuantGrid> For(const float* w, QuantType type);
  // That, and others whose scales leave little more of an error: the best
  // first, at most kMaxLikely. None: a weight is not finite.
  static constexpr int kMaxLikely = 16;
  static std::vector<QuantGrid> Likely(const float* w, QuantType type);

  // The q, as it is stored, of the number nearest to `w`.
  uint8_t Round(float w) const;
  // The q of the number on the other side of `w` from that of `q`, which is the
  // nearest. Nothing: there is none.
  std::optional<uint8_t> OtherSide(float w, uint8_t q) const;
  // The number that q stands for.
  float Value(uint8_t q) const;
  // As it is stored: bf16.
  uint16_t scale() const { return scale_; }

 private:
  explicit QuantGrid(QuantType type) : type_(type) {}
  // `scale` is that of weights multiplied by 2^-exponent.
  QuantGrid(QuantType type, float scale, int exponent);

  QuantType type_;
  // w * factor_ * inverse_ is a number of steps; both are 0 in a group that is
  // zero.
  float factor_ = 0;
  float inverse_ = 0;
  uint16_t scale_ = 0;
};

// A group of weights as it is stored.
struct QuantGroup {
  uint16_t scale = 0;  // bf16
  uint8_t quants[kGroupCols] = {};
};

// Puts that of row `row` and columns [first_col, first_col + kGroupCols) into
// the packed block.
void StoreGroup(const QuantizeArgs& args, int64_t row, int64_t first_col,
                const QuantGroup& group);

}  // namespace rwkvd

#endif  // RWKVD_CORE_QUANTIZE_ROUNDING_H_
