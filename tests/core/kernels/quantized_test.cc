// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/aligned_buffer.h"
#include "core/kernels/quant/layout.h"
#include "gtest/gtest.h"
#include "tests/core/kernels/kernels_fixture.h"

namespace rwkvd {
namespace {

constexpr struct Form {
  QuantType type;
  QuantOrder order;
  bool int16_activations;
} kForms[] = {{QuantType::kInt8, QuantOrder::kRowPanels, false},
              {QuantType::kInt8, QuantOrder::kRowPanels, true},
              {QuantType::kInt4, QuantOrder::kRowPanels, false},
              {QuantType::kInt8, QuantOrder::kColumnBlocks, false},
              {QuantType::kInt4, QuantOrder::kColumnBlocks, false}};

// Random weights in a form, and the numbers they stand for.
struct RandomWeights {
  QuantizedWeights view;
  AlignedVector<uint8_t> quants;
  std::vector<uint16_t> scales;
  std::vector<double> values;  // [rows, cols]
};

// Random rows of x, quantized by the kernels under test.
struct RandomRows {
  QuantizedActivations view;
  Floats x;  // [num, cols]
  std::vector<int8_t> q, low;
  std::vector<int16_t> pairs;
  Floats scales;
  std::vector<int32_t> offsets;

  // x / scale: of each form of it that is there, which must agree.
  int Quant(int64_t row, int64_t col) const {
    const int64_t at = view.At(row, col / kGroupCols) * kGroupCols;
    const int64_t c = col % kGroupCols;
    constexpr int kPlaceOfPairs[] = {0, 2, 1, 3};
    const int whole =
        pairs.empty() ? 0 : pairs[at + c / 4 * 4 + kPlaceOfPairs[c % 4]];
    if (q.empty()) return whole;
    const int digits = low.empty() ? q[at + c] : 256 * q[at + c] + low[at + c];
    if (!pairs.empty()) {
      EXPECT_EQ(digits, whole);
    }
    return digits;
  }
  double Value(int64_t row, int64_t col) const {
    return Quant(row, col) * double{scales[view.At(row, col / kGroupCols)]};
  }
};

class QuantizedTest : public KernelsTest {
 protected:
  void Draw(const Form& form, int64_t rows, int64_t cols, RandomWeights* w) {
    const int64_t size = PackedBlockRows(form.type, form.order);
    const int64_t blocks = NumPackedBlocks(form.type, form.order, rows);
    const int64_t bytes = PackedBlockBytes(form.type, form.order, cols);
    w->quants.assign(blocks * bytes, 0);
    w->scales.resize(blocks * size * cols / kGroupCols);
    for (uint16_t& scale : w->scales) {
      scale = FloatToBF16(Normal(1, 0, 0.01f)[0]);
    }
    w->values.resize(rows * cols);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const auto place =
            PositionInPackedBlock(form.type, form.order, r % size, c);
        uint8_t& byte = w->quants[r / size * bytes + place.byte];
        const int64_t group = r / size * (cols / kGroupCols) + c / kGroupCols;
        const double scale = BF16ToFloat(w->scales[group * size + r % size]);
        if (form.type == QuantType::kInt8) {
          byte = 1 + random_() % 255;
          w->values[r * cols + c] = scale * (byte - 128);
        } else {
          const int q = random_() % 16;
          byte |= place.upper ? q << 4 : q;
          w->values[r * cols + c] = scale * (16 * q - 128);
        }
      }
    }
    w->view = {form.type, form.order,       form.int16_activations, rows,
               cols,      w->quants.data(), w->scales.data()};
  }

  // `num` random rows for weights of `form`; `zeros` of ten values are zero.
  void Draw(const Form& form, int64_t num, int64_t cols, int zeros,
            RandomRows* x) {
    x->x = Normal(num * cols);
    for (float& value : x->x) {
      if (static_cast<int>(random_() % 10) < zeros) value = 0;
    }
    Quantize(kernels(), form, num, cols, x);
  }

  // x, in those forms of it that the kernels take for weights of `form`.
  static void Quantize(const KernelTable& kernels, const Form& form,
                       int64_t num, int64_t cols, RandomRows* x) {
    const bool pairs =
        kernels.wants_int16_activations && form.type == QuantType::kInt8;
    const int64_t apart = num + num % 3;
    const int64_t size = apart * cols / kGroupCols;
    const int64_t digits = size * kGroupCols;
    x->pairs.resize(pairs ? digits : 0);
    x->q.resize(pairs && form.int16_activations ? 0 : digits);
    x->low.resize(!pairs && form.int16_activations ? digits : 0);
    x->scales.resize(size);
    x->offsets.resize(size);
    x->view = {num,
               cols,
               apart,
               form.int16_activations,
               x->q.empty() ? nullptr : x->q.data(),
               x->low.empty() ? nullptr : x->low.data(),
               x->pairs.empty() ? nullptr : x->pairs.data(),
               x->scales.data(),
               x->offsets.data()};
    for (int64_t i = 0; i < num; ++i) {
      kernels.quantize_row(x->x.data() + i * cols, x->view, i);
    }
  }

  Floats Multiply(const RandomWeights& w, const QuantizedActivations& x) {
    Floats y(x.num * w.view.rows, NAN);
    kernels().quantized_matmul(
        {w.view, x, y.data(), w.view.rows}, 0,
        NumPackedBlocks(w.view.type, w.view.order, w.view.rows));
    return y;
  }

  // Row `i` alone.
  static QuantizedActivations Row(const QuantizedActivations& x, int64_t i) {
    const auto from = [&](auto* digits) {
      return digits == nullptr ? nullptr : digits + i * kGroupCols;
    };
    return {1,
            x.cols,
            x.apart,
            x.int16_activations,
            from(x.q),
            from(x.low),
            from(x.pairs),
            x.scales + i,
            x.offsets + i};
  }
};

TEST_P(QuantizedTest, RowsAreRoundedToTheirGroupsStep) {
  for (const Form& form : kForms) {
    RandomRows x;
    Draw(form, 3, 192, 0, &x);
    const double most = form.int16_activations ? 127 * 256 : 127;
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t g = 0; g < 3; ++g) {
        const float* const values = &x.x[i * 192 + g * 64];
        double largest = 0;
        for (int c = 0; c < 64; ++c) {
          largest = std::max<double>(largest, std::abs(values[c]));
        }
        int64_t sum = 0;
        for (int c = 0; c < 64; ++c) {
          const double value = x.Value(i, g * 64 + c);
          // Half a step, and the rounding of what is rounded.
          ASSERT_NEAR(value, values[c], largest * (0.5 / most + 2 * kRounding));
          sum += std::llround(value / x.scales[x.view.At(i, g)]);
        }
        ASSERT_EQ(x.offsets[x.view.At(i, g)], -128 * sum);
        ASSERT_NEAR(x.scales[x.view.At(i, g)], largest / most, largest * 1e-8);
      }
    }
  }
}

TEST_P(QuantizedTest, RowsOfOneDigitAreRoundedToEven) {
  Floats x(64, 0.0f);
  x[0] = -127, x[1] = 2.5f, x[2] = 3.5f, x[3] = 0.4f, x[63] = -1.6f;
  std::vector<int8_t> q(64);
  float scale;
  int32_t offset;
  const int64_t zeros = kernels().quantize_row(
      x.data(), {1, 64, 1, false, q.data(), nullptr, nullptr, &scale, &offset},
      0);
  EXPECT_EQ(zeros, 60);
  EXPECT_EQ(scale, 1.0f);
  EXPECT_EQ(q[0], -127);
  EXPECT_EQ(q[1], 2);
  EXPECT_EQ(q[2], 4);
  EXPECT_EQ(q[3], 0);
  EXPECT_EQ(q[63], -2);
  EXPECT_EQ(offset, -128 * (-127 + 2 + 4 - 2));
}

TEST_P(QuantizedTest, RowsOfZerosStayZero) {
  const Floats x(64, 0.0f);
  std::vector<int8_t> q(64, 1);
  float scale;
  int32_t offset;
  const int64_t zeros = kernels().quantize_row(
      x.data(), {1, 64, 1, false, q.data(), nullptr, nullptr, &scale, &offset},
      0);
  EXPECT_EQ(zeros, 64);
  EXPECT_EQ(scale, 0.0f);
  EXPECT_EQ(offset, 0);
  EXPECT_EQ(q, std::vector<int8_t>(64, 0));
}

// The integers are exact, so only the sum over the groups is rounded.
TEST_P(QuantizedTest, MatMulIsWithinTheBoundOfItsSums) {
  for (const Form& form : kForms) {
    for (const int64_t cols : {64, 128, 1088}) {
      for (const int64_t rows : {1, 16, 37, 140, 300}) {
        RandomWeights w;
        Draw(form, rows, cols, &w);
        for (const int64_t num_x : {1, 3, 13}) {
          for (const int zeros : {0, 9}) {
            RandomRows x;
            Draw(form, num_x, cols, zeros, &x);
            const Floats y = Multiply(w, x.view);
            for (int64_t i = 0; i < num_x * rows; ++i) {
              double sum = 0, magnitude = 0;
              for (int64_t c = 0; c < cols; ++c) {
                const double term =
                    w.values[i % rows * cols + c] * x.Value(i / rows, c);
                sum += term;
                magnitude += std::abs(term);
              }
              const double roundings = cols / kGroupCols + 3;
              ASSERT_NEAR(y[i], sum, roundings * kRounding * magnitude)
                  << "form " << (&form - kForms) << " " << rows << "x" << cols
                  << " row " << i / rows << " of " << num_x;
            }
          }
        }
      }
    }
  }
}

// Sums of the largest numbers fit what they are added up in.
TEST_P(QuantizedTest, MatMulTakesTheLargestNumbersEverywhere) {
  constexpr int64_t kRows = 48, kCols = 128;
  for (const Form& form : kForms) {
    for (const uint8_t byte : {uint8_t{0x01}, uint8_t{0xff}}) {
      RandomWeights w;
      Draw(form, kRows, kCols, &w);
      const uint8_t value =
          form.type == QuantType::kInt4 && byte == 1 ? 0 : byte;
      std::fill(w.quants.begin(), w.quants.end(), value);
      const int weight =
          form.type == QuantType::kInt4 ? (value & 0xf0) - 128 : value - 128;
      for (const float sign : {1.0f, -1.0f}) {
        RandomRows x;
        x.x.assign(9 * kCols, sign);
        Quantize(kernels(), form, 9, kCols, &x);
        const Floats y = Multiply(w, x.view);
        const int64_t size = PackedBlockRows(form.type, form.order);
        for (int64_t r = 0; r < kRows; ++r) {
          double sum = 0, magnitude = 0;
          for (int64_t g = 0; g < 2; ++g) {
            const double scale =
                BF16ToFloat(w.scales[(r / size * 2 + g) * size + r % size]);
            sum += 64 * scale * weight * sign;
            magnitude += std::abs(64 * scale * weight);
          }
          for (int64_t i = 0; i < 9; ++i) {
            ASSERT_NEAR(y[i * kRows + r], sum, 6 * kRounding * magnitude)
                << "form " << (&form - kForms) << " byte " << int{byte};
          }
        }
      }
    }
  }
}

TEST_P(QuantizedTest, MatMulGivesTheSameBitsForAnyCutAndAnyCompany) {
  constexpr int64_t kRows = 300, kCols = 1152;
  struct Case {
    int64_t num_x;
    int zeros;
  };
  for (const Form& form : kForms) {
    for (const auto& [num_x, zeros] : {Case{40, 0}, {40, 8}, {25, 0}}) {
      RandomWeights w;
      Draw(form, kRows, kCols, &w);
      RandomRows x;
      Draw(form, num_x, kCols, zeros, &x);
      const Floats whole = Multiply(w, x.view);
      for (int64_t i = 0; i < num_x; ++i) {
        const Floats alone = Multiply(w, Row(x.view, i));
        ASSERT_EQ(0, std::memcmp(alone.data(), &whole[i * kRows],
                                 kRows * sizeof(float)))
            << "form " << (&form - kForms) << " row " << i;
      }
      Floats parts(num_x * kRows, NAN);
      const int64_t blocks = NumPackedBlocks(form.type, form.order, kRows);
      for (int64_t s = 0; s < blocks; ++s) {
        kernels().quantized_matmul({w.view, x.view, parts.data(), kRows}, s,
                                   s + 1);
      }
      ASSERT_EQ(0, std::memcmp(parts.data(), whole.data(),
                               parts.size() * sizeof(float)))
          << "form " << (&form - kForms);
    }
  }
}

// A processor's plain way and its dot products.
TEST_P(QuantizedTest, AnExtensionGivesTheBitsOfWhatItExtends) {
  const std::string name = kernels().name;
  const std::string base = name.substr(0, name.find('_'));
  const KernelTable* const plain = FindKernels(base);
  if (plain == nullptr || plain == &kernels()) return;
  for (const Form& form : kForms) {
    RandomWeights w;
    Draw(form, 48, 192, &w);
    RandomRows x;
    Draw(form, 20, 192, 5, &x);
    const Floats here = Multiply(w, x.view);
    Floats there(here.size());
    Quantize(*plain, form, 20, 192, &x);
    plain->quantized_matmul({w.view, x.view, there.data(), 48}, 0,
                            NumPackedBlocks(form.type, form.order, 48));
    EXPECT_EQ(here, there) << "form " << (&form - kForms);
  }
}

RWKVD_TEST_ALL_KERNELS(QuantizedTest);

}  // namespace
}  // namespace rwkvd
