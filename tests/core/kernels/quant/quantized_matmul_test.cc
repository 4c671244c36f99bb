// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/aligned_buffer.h"
#include "core/kernels/quant/activations.h"
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

// Random weights in a form, and the numbers that they stand for.
struct RandomWeights {
  QuantizedWeights view;
  AlignedVector<uint8_t> quants;
  std::vector<uint16_t> scales;
  std::vector<double> values;  // [rows, cols]
};

// Random rows of x, quantized by the kernels under test.
struct RandomActivations {
  QuantizedActivations view;
  Floats x;  // [num, cols]
  std::vector<int8_t> high, low;
  std::vector<int16_t> permuted;
  Floats scales;
  std::vector<int32_t> offsets;

  // Returns x / scale. Expects the arrays that are filled to agree on it.
  int Quant(int64_t row, int64_t col) const {
    const int64_t at = view.Index(row, col / kGroupCols) * kGroupCols;
    const int64_t c = col % kGroupCols;
    constexpr int kPosition[] = {0, 2, 1, 3};
    const int whole =
        permuted.empty() ? 0 : permuted[at + c / 4 * 4 + kPosition[c % 4]];
    if (high.empty()) return whole;
    const int value =
        low.empty() ? high[at + c] : 256 * high[at + c] + low[at + c];
    if (!permuted.empty()) {
      EXPECT_EQ(value, whole);
    }
    return value;
  }
  double Value(int64_t row, int64_t col) const {
    return Quant(row, col) * double{scales[view.Index(row, col / kGroupCols)]};
  }
};

class QuantizedMatMulTest : public KernelsTest {
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
        const auto position =
            PositionInPackedBlock(form.type, form.order, r % size, c);
        uint8_t& byte = w->quants[r / size * bytes + position.byte];
        const int64_t group = r / size * (cols / kGroupCols) + c / kGroupCols;
        const double scale = BF16ToFloat(w->scales[group * size + r % size]);
        if (form.type == QuantType::kInt8) {
          byte = 1 + random_() % 255;
          w->values[r * cols + c] = scale * (byte - 128);
        } else {
          const int q = random_() % 16;
          byte |= position.is_high_nibble ? q << 4 : q;
          w->values[r * cols + c] = scale * (16 * q - 128);
        }
      }
    }
    w->view = {form.type, form.order,       form.int16_activations, rows,
               cols,      w->quants.data(), w->scales.data()};
  }

  // `num` random rows for weights of `form`; `zeros` of ten values are zero.
  void Draw(const Form& form, int64_t num, int64_t cols, int zeros,
            RandomActivations* x) {
    x->x = Normal(num * cols);
    for (float& value : x->x) {
      if (static_cast<int>(random_() % 10) < zeros) value = 0;
    }
    Quantize(kernels(), form, num, cols, x);
  }

  // Quantizes x into the arrays that the kernels read for weights of `form`.
  static void Quantize(const KernelTable& kernels, const Form& form,
                       int64_t num, int64_t cols, RandomActivations* x) {
    const bool permuted =
        kernels.wants_int16_activations && form.type == QuantType::kInt8;
    const int64_t stride = num + num % 3;
    const int64_t size = stride * cols / kGroupCols;
    const int64_t elements = size * kGroupCols;
    x->permuted.resize(permuted ? elements : 0);
    x->high.resize(permuted && form.order == QuantOrder::kRowPanels ? 0
                                                                    : elements);
    x->low.resize(!permuted && form.int16_activations ? elements : 0);
    x->scales.resize(size);
    x->offsets.resize(size);
    x->view = {num,
               cols,
               stride,
               form.int16_activations,
               x->high.empty() ? nullptr : x->high.data(),
               x->low.empty() ? nullptr : x->low.data(),
               x->permuted.empty() ? nullptr : x->permuted.data(),
               x->scales.data(),
               x->offsets.data()};
    for (int64_t i = 0; i < num; ++i) {
      kernels.quantize_row(x->x.data() + i * cols, x->view, i);
    }
  }

  Floats Multiply(const RandomWeights& w, const QuantizedActivations& x) {
    Floats y(x.num_rows * w.view.rows, NAN);
    kernels().quantized_matmul(
        {w.view, x, y.data(), w.view.rows}, 0,
        NumPackedBlocks(w.view.type, w.view.order, w.view.rows));
    return y;
  }

  // Returns row `i` of x alone.
  static QuantizedActivations Row(const QuantizedActivations& x, int64_t i) {
    const auto from = [&](auto* elements) {
      return elements == nullptr ? nullptr : elements + i * kGroupCols;
    };
    return {1,
            x.cols,
            x.stride,
            x.is_int16,
            from(x.high),
            from(x.low),
            from(x.permuted_int16),
            x.scales + i,
            x.offsets + i};
  }
};

TEST_P(QuantizedMatMulTest, ActivationsAreRoundedToTheirGroupsStep) {
  for (const Form& form : kForms) {
    RandomActivations x;
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
          // Half a step, plus the roundings of x / scale.
          ASSERT_NEAR(value, values[c], largest * (0.5 / most + 2 * kRounding));
          sum += std::llround(value / x.scales[x.view.Index(i, g)]);
        }
        ASSERT_EQ(x.offsets[x.view.Index(i, g)], -128 * sum);
        ASSERT_NEAR(x.scales[x.view.Index(i, g)], largest / most,
                    largest * 1e-8);
      }
    }
  }
}

TEST_P(QuantizedMatMulTest, Int8ActivationsAreRoundedToEven) {
  Floats x(64, 0.0f);
  x[0] = -127, x[1] = 2.5f, x[2] = 3.5f, x[3] = 0.4f, x[63] = -1.6f;
  std::vector<int8_t> high(64);
  float scale;
  int32_t offset;
  const int64_t zeros = kernels().quantize_row(
      x.data(),
      {1, 64, 1, false, high.data(), nullptr, nullptr, &scale, &offset}, 0);
  EXPECT_EQ(zeros, 60);
  EXPECT_EQ(scale, 1.0f);
  EXPECT_EQ(high[0], -127);
  EXPECT_EQ(high[1], 2);
  EXPECT_EQ(high[2], 4);
  EXPECT_EQ(high[3], 0);
  EXPECT_EQ(high[63], -2);
  EXPECT_EQ(offset, -128 * (-127 + 2 + 4 - 2));
}

TEST_P(QuantizedMatMulTest, ZeroActivationsStayZero) {
  const Floats x(64, 0.0f);
  std::vector<int8_t> high(64, 1);
  float scale;
  int32_t offset;
  const int64_t zeros = kernels().quantize_row(
      x.data(),
      {1, 64, 1, false, high.data(), nullptr, nullptr, &scale, &offset}, 0);
  EXPECT_EQ(zeros, 64);
  EXPECT_EQ(scale, 0.0f);
  EXPECT_EQ(offset, 0);
  EXPECT_EQ(high, std::vector<int8_t>(64, 0));
}

// The integers are exact, so only the sum over the groups is rounded.
TEST_P(QuantizedMatMulTest, MatMulIsWithinItsErrorBound) {
  for (const Form& form : kForms) {
    for (const int64_t cols : {64, 128, 1088}) {
      for (const int64_t rows : {1, 16, 37, 140, 300}) {
        RandomWeights w;
        Draw(form, rows, cols, &w);
        for (const int64_t num_x : {1, 3, 13}) {
          for (const int zeros : {0, 9}) {
            RandomActivations x;
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

// Sums of the largest numbers do not overflow the integers that hold them.
TEST_P(QuantizedMatMulTest, LargestWeightsAndActivationsDoNotOverflow) {
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
        RandomActivations x;
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

TEST_P(QuantizedMatMulTest, MatMulIsBitIdenticalForAnySplitAndAnyBatch) {
  constexpr int64_t kRows = 300, kCols = 1152;
  struct Case {
    int64_t num_x;
    int zeros;
  };
  for (const Form& form : kForms) {
    for (const auto& [num_x, zeros] : {Case{40, 0}, {40, 8}, {25, 0}}) {
      RandomWeights w;
      Draw(form, kRows, kCols, &w);
      RandomActivations x;
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

// For example AVX3_VNNI and AVX3_AMX against AVX3.
TEST_P(QuantizedMatMulTest, ExtensionsAreBitIdenticalToTheirBase) {
  const std::string name = kernels().name;
  const std::string base = name.substr(0, name.find('_'));
  const KernelTable* const plain = FindKernels(base);
  if (plain == nullptr || plain == &kernels()) return;
  for (const Form& form : kForms) {
    RandomWeights w;
    Draw(form, 48, 192, &w);
    RandomActivations x;
    Draw(form, 20, 192, 5, &x);
    const Floats here = Multiply(w, x.view);
    Floats there(here.size());
    Quantize(*plain, form, 20, 192, &x);
    plain->quantized_matmul({w.view, x.view, there.data(), 48}, 0,
                            NumPackedBlocks(form.type, form.order, 48));
    EXPECT_EQ(here, there) << "form " << (&form - kForms);
  }
}

TEST_P(QuantizedMatMulTest, NaNActivationMakesTheRowNaN) {
  for (const Form& form : kForms) {
    for (const int64_t at : {0, 5, 63, 64, 127}) {
      RandomWeights w;
      Draw(form, 16, 128, &w);
      RandomActivations x;
      x.x = Normal(128);
      x.x[at] = NAN;
      Quantize(kernels(), form, 1, 128, &x);
      const Floats y = Multiply(w, x.view);
      for (int64_t row = 0; row < 16; ++row) EXPECT_TRUE(std::isnan(y[row]));
    }
  }
}

RWKVD_TEST_ALL_KERNELS(QuantizedMatMulTest);

}  // namespace
}  // namespace rwkvd
