// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace rwkvd {
namespace {

// Smaller weights' scales, and what is computed from them, would leave the
// normal numbers.
constexpr float kSmallest = 0x1p-100f;

// Sums are kept apart in so many lanes, whatever the processor, and so are the
// same on each.
constexpr int kLanes = 16;

// Where the scale of a group is looked for. A step is 1 / 256 to 1 / 128 of the
// scale: candidates are counted in bf16 numbers, which are evenly enough spaced
// on a scale of logarithms.
struct Search {
  int lowest, highest;  // the integers that a scale is multiplied with
  // In bf16 numbers from the largest weight / -lowest: a coarse pass, and a
  // fine one around what that has found.
  int first, last, step;
  bool both_signs;  // lowest and highest differ
};

// With 8 bits, to cut off the largest weight never pays, but among scales a
// little larger than need be, one fits the others by luck.
constexpr Search kInt8Search = {-127, 127, -2, 13, 1, false};
// With 4 bits, it pays to cut off up to three tenths. Of the sign for which
// only `highest` is there to hold the largest weight, 8 / 7 holds it.
constexpr Search kInt4Search = {-8, 7, -64, 28, 4, true};

float FromBF16(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

// To the nearest, ties to even; `value` is finite and far from the largest.
uint16_t ToBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// The integer nearest to x, ties to even, within [low, high]. Any number of
// magnitude below 2^22 loses its fraction when this is added.
// What is no number becomes `low`.
inline float Nearest(float x, float low, float high) {
  constexpr float kShift = 0x1.8p23f;
  x = x > low ? x : low;
  x = x < high ? x : high;
  return (x + kShift) - kShift;
}

// The sum of (x - scale * q)^2, each q being the best.
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

// The best scale that has been found.
class Best {
 public:
  Best(const float* x, const Search& search) : x_(x), search_(search) {}

  void Try(int bits, float sign) {
    const float scale = sign * FromBF16(static_cast<uint16_t>(bits));
    const float error = SquaredError(x_, scale, search_);
    if (!(error < error_)) return;
    error_ = error;
    bits_ = bits;
    sign_ = sign;
  }

  int bits() const { return bits_; }
  float sign() const { return sign_; }
  float scale() const { return sign_ * FromBF16(static_cast<uint16_t>(bits_)); }

 private:
  const float* x_;
  const Search& search_;
  float error_ = std::numeric_limits<float>::infinity();
  int bits_ = 0;
  float sign_ = 1;
};

// The scale of the group x, whose weight of the largest magnitude is `largest`.
float FindScale(const float* x, float largest, const Search& search) {
  Best best(x, search);
  const float magnitude =
      std::abs(largest) / static_cast<float>(-search.lowest);
  const int middle = ToBF16(magnitude);
  // So that the largest weight is a multiple of `lowest`, which may be larger
  // than `highest`.
  const float sign = search.both_signs && largest > 0 ? -1 : 1;
  for (int i = search.first; i <= search.last; i += search.step) {
    best.Try(middle + i, sign);
    if (search.both_signs) best.Try(middle + i, -sign);
  }
  if (search.both_signs) {
    // That which makes the largest a multiple of `highest`.
    best.Try(ToBF16(std::abs(largest) / static_cast<float>(search.highest)),
             -sign);
  }
  const int coarse = best.bits();
  for (int i = 1; i < search.step; ++i) {
    best.Try(coarse - i, best.sign());
    best.Try(coarse + i, best.sign());
  }
  return best.scale();
}

const Search& SearchFor(QuantType type) {
  return type == QuantType::kInt8 ? kInt8Search : kInt4Search;
}

// The q that stands for zero.
int ZeroOf(QuantType type) {
  return type == QuantType::kInt8 ? kQuantZero : kQuantZero / 16;
}

// False if a weight is not finite.
bool FindLargest(const float* w, float* largest) {
  bool finite = true;
  *largest = 0;
  for (int i = 0; i < kGroupCols; ++i) {
    finite &= std::abs(w[i]) <= std::numeric_limits<float>::max();
    if (std::abs(w[i]) > std::abs(*largest)) *largest = w[i];
  }
  return finite;
}

}  // namespace

std::optional<QuantGrid> QuantGrid::For(const float* w, QuantType type) {
  QuantGrid grid(type);
  float largest;
  if (!FindLargest(w, &largest)) return std::nullopt;
  if (std::abs(largest) < kSmallest) return grid;
  // Multiplied by a power of two, which is exact, the largest is in [1, 2).
  const int exponent = std::ilogb(largest);
  grid.factor_ = std::ldexp(1.0f, -exponent);
  float x[kGroupCols];
  for (int i = 0; i < kGroupCols; ++i) x[i] = w[i] * grid.factor_;
  const float scale = FindScale(x, largest * grid.factor_, SearchFor(type));
  grid.inverse_ = 1 / scale;
  grid.scale_ =
      ToBF16(std::ldexp(scale, exponent - (type == QuantType::kInt8 ? 0 : 4)));
  return grid;
}

uint8_t QuantGrid::Round(float w) const {
  const Search& search = SearchFor(type_);
  return static_cast<uint8_t>(
      ZeroOf(type_) + static_cast<int>(Nearest(w * factor_ * inverse_,
                                               search.lowest, search.highest)));
}

float QuantGrid::Value(uint8_t q) const {
  const int steps = q - ZeroOf(type_);
  return FromBF16(scale_) *
         static_cast<float>(type_ == QuantType::kInt8 ? steps : 16 * steps);
}

void StoreGroup(const QuantizeArgs& args, int64_t row, int64_t first_col,
                const QuantGroup& group) {
  const int64_t stripe_rows = StripeRows(args.type, args.order);
  args.scales[first_col / kGroupCols * stripe_rows + row] = group.scale;
  for (int64_t i = 0; i < kGroupCols; ++i) {
    const QuantPlace place =
        PlaceInStripe(args.type, args.order, row, first_col + i);
    uint8_t& byte = args.quants[place.byte];
    const int q = group.quants[i];
    if (args.type == QuantType::kInt8) {
      byte = static_cast<uint8_t>(q);
    } else if (place.upper) {
      byte = static_cast<uint8_t>((byte & 0x0F) | q << 4);
    } else {
      byte = static_cast<uint8_t>((byte & 0xF0) | q);
    }
  }
}

void ClearStripe(const QuantizeArgs& args) {
  constexpr uint8_t kZeros[] = {kQuantZero, kQuantZero | kQuantZero >> 4};
  const int64_t stripe_rows = StripeRows(args.type, args.order);
  std::fill_n(args.quants, StripeBytes(args.type, args.order, args.cols),
              kZeros[args.type == QuantType::kInt4]);
  std::fill_n(args.scales, args.cols / kGroupCols * stripe_rows, uint16_t{0});
}

bool QuantizeStripe(const QuantizeArgs& args) {
  ClearStripe(args);
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
