// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/checkpoint/ggml_blocks.h"
#include "core/kernels/ggml/layout.h"
#include "core/quantize/ggml_panels.h"
#include "gtest/gtest.h"
#include "tests/core/kernels/kernels_fixture.h"

namespace rwkvd {
namespace {

// The bytes of a block at which its f16 numbers are (docs of llama.cpp's
// ggml-common.h); -1: none.
struct F16Fields {
  int scale;
  int minimum;
};
F16Fields F16FieldsOf(DType type) {
  switch (type) {
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108, -1};
    case DType::kQ6_K:
      return {208, -1};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    default:
      return {0, -1};
  }
}

// Weights as a file stores them, the same packed, and the numbers that they
// stand for.
struct RandomBlockWeights {
  GgmlWeights view;
  AlignedVector<uint8_t> panels;
  Floats values;  // [rows, cols]
  int64_t cols = 0;
};

// Rows of x, quantized by the kernels under test.
struct RandomBlockInputs {
  QuantizedActivations view;
  Floats x;  // [num, cols of the file]
  std::vector<int8_t> high, low;
  std::vector<int16_t> permuted;
  Floats scales, scaled_sums;
  std::vector<int32_t> offsets, run_offsets;

  double Value(int64_t row, int64_t col) const {
    const int64_t at = view.Index(row, col / kGroupCols);
    const int64_t c = col % kGroupCols, byte = at * kGroupCols + c;
    constexpr int kPosition[] = {0, 2, 1, 3};
    int value;
    if (!permuted.empty()) {
      value = permuted[at * kGroupCols + c / 4 * 4 + kPosition[c % 4]];
    } else {
      value = low.empty() ? high[byte] : 256 * high[byte] + low[byte];
    }
    return value * double{scales[at]};
  }
};

class GgmlMatMulTest : public KernelsTest {
 protected:
  // Random blocks [rows, cols], whose bytes other than f16 numbers are `byte`
  // if that is not negative.
  std::vector<std::byte> DrawBlocks(DType type, int64_t rows, int64_t cols,
                                    int byte = -1) {
    const int64_t blocks = rows * cols / BlockElements(type);
    std::vector<std::byte> bytes(blocks * BlockBytes(type));
    for (std::byte& b : bytes) {
      b = static_cast<std::byte>(byte < 0 ? random_() % 256 : byte);
    }
    const auto store = [&](int64_t block, int at, float value) {
      if (at < 0) return;
      const uint16_t bits = FloatToF16(value);
      std::memcpy(&bytes[block * BlockBytes(type) + at], &bits, sizeof(bits));
    };
    const F16Fields fields = F16FieldsOf(type);
    for (int64_t i = 0; i < blocks; ++i) {
      store(i, fields.scale, Normal(1, 0, 0.01f)[0]);
      store(i, fields.minimum, Normal(1, 0, 0.05f)[0]);
    }
    return bytes;
  }

  static void Pack(DType type, bool int16, const std::vector<std::byte>& blocks,
                   int64_t rows, int64_t cols, RandomBlockWeights* w) {
    w->values.resize(rows * cols);
    DequantizeBlocks(type, blocks.data(), rows * cols, w->values.data());
    ThreadPool pool(1);
    w->panels = PackGgmlPanels(
        {.dtype = type, .shape = {rows, cols}, .data = blocks}, pool);
    w->cols = cols;
    w->view = {.type = type,
               .int16_activations = int16,
               .rows = rows,
               .cols = GgmlPaddedCols(type, cols),
               .panels = w->panels.data()};
  }

  void Draw(DType type, bool int16, int64_t rows, int64_t cols,
            RandomBlockWeights* w) {
    Pack(type, int16, DrawBlocks(type, rows, cols), rows, cols, w);
  }

  // Quantizes x->x, [num, w.cols], for `w`.
  static void Quantize(const KernelTable& kernels, const RandomBlockWeights& w,
                       int64_t num, RandomBlockInputs* x) {
    const bool int16 = w.view.int16_activations;
    const bool permuted = kernels.wants_int16_activations &&
                          (int16 || !HasNarrowQuants(w.view.type));
    const GgmlLayout layout = GgmlLayoutOf(w.view.type);
    const int64_t stride = num + num % 3;
    const int64_t size = stride * w.view.cols / kGroupCols;
    const int64_t elements = size * kGroupCols;
    const int64_t runs = size * kGroupCols / layout.scale_cols;
    x->permuted.assign(permuted ? elements : 0, 0);
    x->high.assign(permuted ? 0 : elements, 0);
    x->low.assign(!permuted && int16 ? elements : 0, 0);
    x->scales.assign(size, 0);
    x->offsets.assign(size, 0);
    x->run_offsets.assign(runs, 0);
    x->scaled_sums.assign(layout.has_minimums ? runs : 0, 0);
    const auto data = [](auto& array) {
      return array.empty() ? nullptr : array.data();
    };
    x->view = {.num_rows = num,
               .cols = w.view.cols,
               .stride = stride,
               .is_int16 = int16,
               .high = data(x->high),
               .low = data(x->low),
               .permuted_int16 = data(x->permuted),
               .scales = x->scales.data(),
               .offsets = x->offsets.data(),
               .ggml = {.type = w.view.type,
                        .offsets = x->run_offsets.data(),
                        .scaled = data(x->scaled_sums)}};
    for (int64_t i = 0; i < num; ++i) {
      Floats row(w.view.cols, 0.0f);
      std::copy_n(x->x.data() + i * w.cols, w.cols, row.data());
      kernels.quantize_row(row.data(), x->view, i);
    }
  }

  void Draw(const RandomBlockWeights& w, int64_t num, RandomBlockInputs* x) {
    x->x = Normal(num * w.cols);
    Quantize(kernels(), w, num, x);
  }

  static Floats Multiply(const KernelTable& kernels,
                         const RandomBlockWeights& w,
                         const QuantizedActivations& x) {
    Floats y(x.num_rows * w.view.rows, NAN);
    kernels.ggml_matmul({w.view, x, y.data(), w.view.rows}, 0,
                        NumGgmlPanels(w.view.rows));
    return y;
  }

  // Returns row `i` of x alone.
  static QuantizedActivations Row(QuantizedActivations x, int64_t i) {
    const int64_t runs = kGroupCols / GgmlLayoutOf(x.ggml.type).scale_cols;
    const auto move = [](auto*& from, int64_t elements) {
      if (from != nullptr) from += elements;
    };
    x.num_rows = 1;
    move(x.high, i * kGroupCols);
    move(x.low, i * kGroupCols);
    move(x.permuted_int16, i * kGroupCols);
    move(x.scales, i);
    move(x.offsets, i);
    move(x.ggml.offsets, i * runs);
    move(x.ggml.scaled, i * runs);
    return x;
  }

  // Expects y = x wᵀ but for the roundings of the kernels' f32 arithmetic.
  // Minimums make terms larger than weights, at most by a factor of the size of
  // the row's largest weight.
  static void ExpectProduct(const RandomBlockWeights& w,
                            const RandomBlockInputs& x, const Floats& y) {
    const int64_t rows = w.view.rows;
    const double roundings =
        w.view.cols / GgmlLayoutOf(w.view.type).scale_cols * 2 + 4;
    for (int64_t i = 0; i < x.view.num_rows * rows; ++i) {
      const float* const weights = &w.values[i % rows * w.cols];
      double sum = 0, x_magnitude = 0, largest = 0;
      for (int64_t c = 0; c < w.cols; ++c) {
        const double value = x.Value(i / rows, c);
        sum += weights[c] * value;
        x_magnitude += std::abs(value);
        largest = std::max<double>(largest, std::abs(weights[c]));
      }
      ASSERT_NEAR(y[i], sum, roundings * kRounding * 4 * largest * x_magnitude)
          << NameOf(w.view.type) << (w.view.int16_activations ? " int16 " : " ")
          << rows << "x" << w.cols << ", row " << i % rows << ", x " << i / rows
          << " of " << x.view.num_rows;
    }
  }
};

// Calls fn(type, int16_activations) for all block types and activations.
template <class Fn>
void ForEachForm(const Fn& fn) {
  for (const DType type : kBlockTypes) {
    fn(type, true);
    fn(type, false);
  }
}

// A number of columns of the type that its blocks divide, with and without a
// part of a span at the end.
std::vector<int64_t> ColsOf(DType type) {
  if (BlockElements(type) == 256) return {256, 1280};
  return {32, 64, 352, 1088};
}

TEST(GgmlLayoutTest, PanelsTakeAtMostSixPercentMoreThanBlocks) {
  for (const DType type : kBlockTypes) {
    const int64_t blocks =
        kPanelRows * 1024 / BlockElements(type) * BlockBytes(type);
    EXPECT_LE(GgmlPanelBytes(type, 1024), 1.06 * blocks) << NameOf(type);
    EXPECT_EQ(GgmlSpanBytes(type) % 64, 0) << NameOf(type);
  }
}

TEST_P(GgmlMatMulTest, MatMulIsWithinItsErrorBound) {
  ForEachForm([&](DType type, bool int16) {
    for (const int64_t cols : ColsOf(type)) {
      for (const int64_t rows : {1, 16, 37, 70}) {
        RandomBlockWeights w;
        Draw(type, int16, rows, cols, &w);
        for (const int64_t num_x : {1, 3, 13}) {
          RandomBlockInputs x;
          Draw(w, num_x, &x);
          ExpectProduct(w, x, Multiply(kernels(), w, x.view));
        }
      }
    }
  });
}

// Sums of the largest numbers do not overflow the integers that hold them.
TEST_P(GgmlMatMulTest, LargestQuantsAndActivationsDoNotOverflow) {
  constexpr int64_t kRows = 32, kCols = 256;
  ForEachForm([&](DType type, bool int16) {
    for (const int byte : {0x00, 0x7f, 0xff}) {
      RandomBlockWeights w;
      Pack(type, int16, DrawBlocks(type, kRows, kCols, byte), kRows, kCols, &w);
      for (const float sign : {1.0f, -1.0f}) {
        RandomBlockInputs x;
        x.x.assign(9 * kCols, sign);
        Quantize(kernels(), w, 9, &x);
        ExpectProduct(w, x, Multiply(kernels(), w, x.view));
        const QuantizedActivations one = Row(x.view, 0);
        const Floats alone = Multiply(kernels(), w, one);
        RandomBlockInputs first = x;
        first.view.num_rows = 1;
        ExpectProduct(w, first, alone);
      }
    }
  });
}

TEST_P(GgmlMatMulTest, MatMulIsBitIdenticalForAnySplitAndAnyBatch) {
  constexpr int64_t kRows = 69, kCols = 1024, kX = 15;
  ForEachForm([&](DType type, bool int16) {
    RandomBlockWeights w;
    Draw(type, int16, kRows, kCols, &w);
    RandomBlockInputs x;
    Draw(w, kX, &x);
    const Floats whole = Multiply(kernels(), w, x.view);
    for (int64_t i = 0; i < kX; ++i) {
      const Floats alone = Multiply(kernels(), w, Row(x.view, i));
      ASSERT_EQ(0, std::memcmp(alone.data(), &whole[i * kRows],
                               kRows * sizeof(float)))
          << NameOf(type) << " x " << i;
    }
    Floats parts(whole.size(), NAN);
    for (int64_t panel = 0; panel < NumGgmlPanels(kRows); ++panel) {
      kernels().ggml_matmul({w.view, x.view, parts.data(), kRows}, panel,
                            panel + 1);
    }
    ASSERT_EQ(0, std::memcmp(parts.data(), whole.data(),
                             parts.size() * sizeof(float)))
        << NameOf(type);
  });
}

// For example AVX3_VNNI and AVX3_AMX against AVX3.
TEST_P(GgmlMatMulTest, ExtensionsAreBitIdenticalToTheirBase) {
  const std::string name = kernels().name;
  const KernelTable* const plain = FindKernels(name.substr(0, name.find('_')));
  if (plain == nullptr || plain == &kernels()) return;
  ForEachForm([&](DType type, bool int16) {
    RandomBlockWeights w;
    Draw(type, int16, 48, 512, &w);
    RandomBlockInputs x;
    for (const int64_t num : {1, 8}) {
      Draw(w, num, &x);
      const Floats here = Multiply(kernels(), w, x.view);
      Quantize(*plain, w, num, &x);
      EXPECT_EQ(here, Multiply(*plain, w, x.view)) << NameOf(type);
    }
  });
}

RWKVD_TEST_ALL_KERNELS(GgmlMatMulTest);

}  // namespace
}  // namespace rwkvd
