// SPDX-License-Identifier: Apache-2.0
#include "core/quantize/rounding.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/container/inlined_vector.h"

namespace rwkvd {
namespace {

// The scales of smaller weights, and numbers computed from them, could be
// subnormal.
constexpr float kSmallest = 0x1p-100f;

// Sums are computed in this many lanes on every processor, so that the result
// is the same on each.
constexpr int kLanes = 16;

// The range in which the scale of a group is searched. Candidates are counted
// in consecutive bf16 numbers, each 1 / 256 to 1 / 128 larger than the one
// before: nearly evenly spaced on a logarithmic scale.
struct Search {
  int lowest, highest;  // the integers that a scale is multiplied by
  // In bf16 numbers from the largest weight / -lowest: a coarse pass over
  // [first, last], then a fine pass around the best candidate of the coarse
  // one.
  int first, last, step;
  bool both_signs;  // tries negative scales: lowest and highest differ
};

// int8: clipping the largest weight never pays, but one of the scales slightly
// larger than necessary may fit the other weights better.
constexpr Search kInt8Search = {-127, 127, -2, 13, 1, false};
// int4: clipping up to three tenths pays. With the sign for which the largest
// weight must be a multiple of `highest`, a scale larger by 8 / 7 holds it.
constexpr Search kInt4Search = {-8, 7, -64, 28, 4, true};

float FromBF16(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

// Rounds to nearest, ties to even. `value` is finite and far from the largest
// bf16.
uint16_t ToBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// Returns the integer in [low, high] nearest to x, ties to even; NaN becomes
// `low`. Adding kShift drops the fraction of any number below 2^22 in
// magnitude.
inline float Nearest(float x, float low, float high) {
  constexpr float kShift = 0x1.8p23f;
  x = x > low ? x : low;
  x = x < high ? x : high;
  return (x + kShift) - kShift;
}

// Returns the sum of (x - scale * q)^2 over a group, with the best q each.
float SquaredError(const float* x, float scale, const Search& search) {
  const float inverse = 1 / scale;
  const float low = search.lowest, high = search.highest;
  float sums[kLanes] = {};
  for (int i = 0; i < kGroupCols; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float error =
          x[i + j] - scale * Nearest(x[i + j] * inverse, low, high);
      sums[j] += error * error;
    }
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

// A scale and the sum of squared errors that it leaves.
struct Trial {
  float scale;
  float error;
};

// The scales tried for the group x, in order.
class Trials {
 public:
  Trials(const float* x, const Search& search) : x_(x), search_(search) {}

  void Try(int bits, float sign) {
    const float scale = sign * FromBF16(static_cast<uint16_t>(bits));
    made_.push_back({scale, SquaredError(x_, scale, search_)});
  }

  // Returns the best scale; of equals, the first one tried.
  float best() const {
    return std::min_element(made_.begin(), made_.end(), IsBetter)->scale;
  }

  // Returns the `num` best scales, without duplicates.
  std::vector<float> Best(size_t num) && {
    std::stable_sort(made_.begin(), made_.end(), IsBetter);
    std::vector<float> scales;
    for (const Trial& trial : made_) {
      const float scale = trial.scale;
      if (std::find(scales.begin(), scales.end(), scale) != scales.end()) {
        continue;
      }
      scales.push_back(scale);
      if (scales.size() == num) break;
    }
    return scales;
  }

 private:
  static bool IsBetter(const Trial& a, const Trial& b) {
    return a.error < b.error;
  }

  const float* x_;
  const Search& search_;
  absl::InlinedVector<Trial, 64> made_;
};

// Tries scales for the group x, whose weight of largest magnitude is `largest`.
Trials TryScales(const float* x, float largest, const Search& search) {
  Trials trials(x, search);
  const float magnitude =
      std::abs(largest) / static_cast<float>(-search.lowest);
  const int center = ToBF16(magnitude);
  // With this sign the largest weight is a multiple of `lowest`, whose
  // magnitude may exceed that of `highest`.
  const float sign = search.both_signs && largest > 0 ? -1 : 1;
  for (int i = search.first; i <= search.last; i += search.step) {
    trials.Try(center + i, sign);
    if (search.both_signs) trials.Try(center + i, -sign);
  }
  if (search.both_signs) {
    // The scale that makes the largest weight a multiple of `highest`.
    trials.Try(ToBF16(std::abs(largest) / static_cast<float>(search.highest)),
               -sign);
  }
  const float coarse = trials.best();
  const int bits = ToBF16(std::abs(coarse));
  for (int i = 1; i < search.step; ++i) {
    trials.Try(bits - i, std::copysign(1.0f, coarse));
    trials.Try(bits + i, std::copysign(1.0f, coarse));
  }
  return trials;
}

const Search& SearchFor(QuantType type) {
  return type == QuantType::kInt8 ? kInt8Search : kInt4Search;
}

// Returns the q that stands for zero.
int ZeroOf(QuantType type) {
  return type == QuantType::kInt8 ? kQuantZero : kQuantZero / 16;
}

// A group of weights times a power of two, without rounding, such that the
// largest is in [1, 2).
struct Scaled {
  explicit Scaled(const float* w) {
    for (int i = 0; i < kGroupCols; ++i) {
      is_finite &= std::abs(w[i]) <= std::numeric_limits<float>::max();
      if (std::abs(w[i]) > std::abs(largest)) largest = w[i];
    }
    is_zero = std::abs(largest) < kSmallest;
    if (is_zero || !is_finite) return;
    exponent = std::ilogb(largest);
    const float factor = std::ldexp(1.0f, -exponent);
    largest *= factor;
    for (int i = 0; i < kGroupCols; ++i) x[i] = w[i] * factor;
  }

  bool is_finite = true;
  bool is_zero = false;  // all weights are below kSmallest
  // Set if the group is finite and not zero:
  int exponent = 0;
  float largest = 0;  // the weight of largest magnitude
  float x[kGroupCols] = {};
};

}  // namespace

std::optional<QuantGrid> QuantGrid::For(const float* w, QuantType type) {
  const Scaled scaled(w);
  if (!scaled.is_finite) return std::nullopt;
  if (scaled.is_zero) return QuantGrid(type);
  const float scale =
      TryScales(scaled.x, scaled.largest, SearchFor(type)).best();
  return QuantGrid(type, scale, scaled.exponent);
}

std::vector<QuantGrid> QuantGrid::Candidates(const float* w, QuantType type) {
  const Scaled scaled(w);
  if (!scaled.is_finite) return {};
  if (scaled.is_zero) return {QuantGrid(type)};
  std::vector<QuantGrid> grids;
  for (const float scale : TryScales(scaled.x, scaled.largest, SearchFor(type))
                               .Best(kMaxCandidates)) {
    grids.push_back(QuantGrid(type, scale, scaled.exponent));
  }
  return grids;
}

QuantGrid::QuantGrid(QuantType type, float scale, int exponent)
    : type_(type),
      factor_(std::ldexp(1.0f, -exponent)),
      inverse_(1 / scale),
      scale_(ToBF16(
          std::ldexp(scale, exponent - (type == QuantType::kInt8 ? 0 : 4)))) {}

uint8_t QuantGrid::Round(float w) const {
  const Search& search = SearchFor(type_);
  return static_cast<uint8_t>(
      ZeroOf(type_) + static_cast<int>(Nearest(w * factor_ * inverse_,
                                               search.lowest, search.highest)));
}

std::optional<uint8_t> QuantGrid::OtherNeighbor(float w, uint8_t q) const {
  const Search& search = SearchFor(type_);
  const int steps = q - ZeroOf(type_);
  const float distance = w * factor_ * inverse_ - static_cast<float>(steps);
  const int other = distance > 0 ? steps + 1 : steps - 1;
  if (!(inverse_ != 0 && search.lowest <= other && other <= search.highest)) {
    return std::nullopt;
  }
  return static_cast<uint8_t>(ZeroOf(type_) + other);
}

float QuantGrid::Value(uint8_t q) const {
  const int steps = q - ZeroOf(type_);
  return FromBF16(scale_) *
         static_cast<float>(type_ == QuantType::kInt8 ? steps : 16 * steps);
}

void StoreGroup(const QuantizeArgs& args, int64_t row, int64_t first_col,
                const QuantGroup& group) {
  const int64_t block_rows = PackedBlockRows(args.type, args.order);
  args.scales[first_col / kGroupCols * block_rows + row] = group.scale;
  for (int64_t i = 0; i < kGroupCols; ++i) {
    const QuantPosition position =
        PositionInPackedBlock(args.type, args.order, row, first_col + i);
    uint8_t& byte = args.quants[position.byte];
    const int q = group.quants[i];
    if (args.type == QuantType::kInt8) {
      byte = static_cast<uint8_t>(q);
    } else if (position.is_high_nibble) {
      byte = static_cast<uint8_t>((byte & 0x0F) | q << 4);
    } else {
      byte = static_cast<uint8_t>((byte & 0xF0) | q);
    }
  }
}

void ClearPackedBlock(const QuantizeArgs& args) {
  constexpr uint8_t kZeros[] = {kQuantZero, kQuantZero | kQuantZero >> 4};
  const int64_t block_rows = PackedBlockRows(args.type, args.order);
  std::fill_n(args.quants, PackedBlockBytes(args.type, args.order, args.cols),
              kZeros[args.type == QuantType::kInt4]);
  std::fill_n(args.scales, args.cols / kGroupCols * block_rows, uint16_t{0});
}

bool QuantizePackedBlock(const QuantizeArgs& args) {
  ClearPackedBlock(args);
  QuantGroup group;
  for (int64_t col = 0; col < args.cols; col += kGroupCols) {
    for (int64_t row = 0; row < args.rows; ++row) {
      const float* const w = args.w + row * args.cols + col;
      const std::optional<QuantGrid> grid = QuantGrid::For(w, args.type);
      if (!grid.has_value()) return false;
      for (int64_t i = 0; i < kGroupCols; ++i) {
        group.quants[i] = grid->Round(w[i]);
      }
      group.scale = grid->scale();
      StoreGroup(args, row, col, group);
    }
  }
  return true;
}

}  // namespace rwkvd
