// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_QUANTIZE_ROUNDING_H_
#define RWKVD_CORE_QUANTIZE_ROUNDING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kernels/quant/layout.h"

namespace rwkvd {

// One packed block of a matrix (core/kernels/quant/layout.h): its weights, and
// where the quantized ones go.
struct QuantizeArgs {
  QuantType type = QuantType::kInt8;
  QuantOrder order = QuantOrder::kRowPanels;
  const float* w = nullptr;    // [rows, cols], row-major
  int64_t rows = 0;            // at most PackedBlockRows(type, order)
  int64_t cols = 0;            // a multiple of kGroupCols
  uint8_t* quants = nullptr;   // [PackedBlockBytes(type, order, cols)], written
  uint16_t* scales = nullptr;  // bf16 [groups][PackedBlockRows()], written
};

// Quantizes a packed block, rounding each weight to the nearest number. The
// scale of a group is the bf16 number, among those near the group's largest
// weight divided by the largest q, that leaves the smallest sum of squared
// errors. A group whose weights are all below 2^-100 becomes zero, as do the
// rows missing to a whole packed block.
//
// Writes the same bytes on every processor. Thread-safe. Returns false if a
// weight is not finite; what was written is then meaningless.
bool QuantizePackedBlock(const QuantizeArgs& args);

// ---- The steps of QuantizePackedBlock, for callers that round in another way.

// Sets all of a packed block to zero.
void ClearPackedBlock(const QuantizeArgs& args);

// The numbers that one group's weights can be rounded to. A value.
class QuantGrid {
 public:
  // Returns the grid with the best scale for the weights w [kGroupCols], or
  // nullopt if one of them is not finite.
  static std::optional<QuantGrid> For(const float* w, QuantType type);
  // Returns at most kMaxCandidates grids with the scales that leave the
  // smallest errors, best first; none if a weight is not finite.
  static constexpr int kMaxCandidates = 16;
  static std::vector<QuantGrid> Candidates(const float* w, QuantType type);

  // Returns the stored q of the number nearest to `w`.
  uint8_t Round(float w) const;
  // Given the nearest `q`, returns the q of the nearest number on the other
  // side of `w`, or nullopt if there is none.
  std::optional<uint8_t> OtherNeighbor(float w, uint8_t q) const;
  // Returns the number that `q` stands for.
  float Value(uint8_t q) const;
  // The stored scale: bf16.
  uint16_t scale() const { return scale_; }

 private:
  explicit QuantGrid(QuantType type) : type_(type) {}
  // `scale` is the scale of the weights times 2^-exponent.
  QuantGrid(QuantType type, float scale, int exponent);

  QuantType type_;
  // w * factor_ * inverse_ is w as a multiple of the grid's step. Both are 0
  // for a group that is zero.
  float factor_ = 0;
  float inverse_ = 0;
  uint16_t scale_ = 0;
};

// One row's quantized weights in one group.
struct QuantGroup {
  uint16_t scale = 0;  // bf16
  uint8_t quants[kGroupCols] = {};
};

// Stores `group` as row `row`, columns [first_col, first_col + kGroupCols) of a
// packed block.
void StoreGroup(const QuantizeArgs& args, int64_t row, int64_t first_col,
                const QuantGroup& group);

}  // namespace rwkvd

#endif  // RWKVD_CORE_QUANTIZE_ROUNDING_H_
