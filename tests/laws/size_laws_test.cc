// SPDX-License-Identifier: Apache-2.0
// Law 6 of tests/README.md for models of any size: heads, ranks and widths are
// deduced from shapes, and none of them is assumed to have the value of the
// released models.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "tests/laws/model_shapes.h"
#include "tests/testing/quantized_checkpoint.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/reference.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::TestTensors;
using Tokens = std::vector<int32_t>;

constexpr int kNumSizes = 25;
// The error bound is relative to the size of the logits, which few logits would
// not represent.
constexpr int64_t kEnoughLogits = 17;

class Drawer {
 public:
  // A random number in [low, high]; small numbers are more likely.
  int64_t Draw(int64_t low, int64_t high) {
    std::uniform_real_distribution<double> any(0, 1);
    const double x = any(random_);
    return low + static_cast<int64_t>(x * x * (high - low + 0.999));
  }

 private:
  std::mt19937_64 random_{11};
};

// Checks that the model in `file` follows the equations for `tensors`.
void ExpectAsTheOracle(Architecture architecture,
                       std::shared_ptr<const TensorFile> file,
                       const TestTensors& tensors,
                       WeightKind kind = WeightKind::kAsStored) {
  ThreadPool pool(2);
  const auto loaded =
      LoadModel(std::move(file), {.weights = kind, .pool = &pool});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Model& model = **loaded;
  const ModelConfig& config = model.config();
  ASSERT_EQ(config.architecture, architecture);
  Tokens text(9);
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<int32_t>(7 * i * i % config.vocab_size);
  }
  Workspace workspace = model.NewWorkspace(text.size(), &pool);
  State state = model.NewState();
  std::vector<float> logits(text.size() * config.vocab_size);
  model.Forward({{.tokens = text,
                  .state = &state,
                  .wanted = LogitsWanted::kAll,
                  .logits = absl::MakeSpan(logits)}},
                workspace);
  const auto expected = testing::Reference(architecture, tensors, text);
  double largest = 0, largest_error = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double value = expected[i / config.vocab_size][i % config.vocab_size];
    const double error = std::abs(logits[i] - value);
    largest = std::max(largest, std::abs(value));
    if (!(error <= largest_error)) largest_error = error;  // keeps NaN
  }
  EXPECT_LE(largest_error, RelativeErrorBound(config, kind) * largest);
}

void ExpectAsTheOracle(Architecture architecture, const TestTensors& tensors) {
  ExpectAsTheOracle(architecture, testing::MakeTensorFile(tensors), tensors);
}

// Quantizes while loading, which gives the same weights as conversion.
void ExpectQuantizedAsTheOracle(Architecture architecture,
                                const TestTensors& tensors) {
  for (const WeightKind kind :
       {WeightKind::kInt8, WeightKind::kInt4, WeightKind::kInt4Mixed}) {
    ExpectAsTheOracle(
        architecture, testing::MakeTensorFile(tensors),
        testing::Dequantized(testing::Quantized(tensors, kind), tensors), kind);
  }
}

TEST(SizeLawsTest, Rwkv4OfAnySize) {
  Drawer drawer;
  for (int i = 0; i < kNumSizes; ++i) {
    const testing::Rwkv4Sizes sizes = {
        .layers = drawer.Draw(1, 4),
        .embedding = drawer.Draw(8, 150),
        .attention = drawer.Draw(8, 150),
        .ffn = drawer.Draw(8, 300),
        .vocab = drawer.Draw(2, 150),
    };
    SCOPED_TRACE(i);
    ExpectAsTheOracle(Architecture::kRwkv4, testing::RandomRwkv4(sizes, i));
  }
}

TEST(SizeLawsTest, Rwkv5OfAnySize) {
  Drawer drawer;
  for (int i = 0; i < kNumSizes; ++i) {
    const testing::Rwkv5Sizes sizes = {
        .minor = i % 3,
        .layers = drawer.Draw(1, 4),
        .heads = drawer.Draw(1, 5),
        .head_size = drawer.Draw(8, 130),
        .ffn = drawer.Draw(8, 300),
        .vocab = drawer.Draw(2, 150),
    };
    SCOPED_TRACE(i);
    constexpr Architecture kMinors[] = {
        Architecture::kRwkv50, Architecture::kRwkv51, Architecture::kRwkv52};
    ExpectAsTheOracle(kMinors[sizes.minor], testing::RandomRwkv5(sizes, i));
  }
}

TEST(SizeLawsTest, Rwkv6OfAnySize) {
  Drawer drawer;
  for (int i = 0; i < kNumSizes; ++i) {
    const testing::Rwkv6Sizes sizes = {
        .layers = drawer.Draw(1, 4),
        .heads = drawer.Draw(1, 5),
        .head_size = drawer.Draw(8, 130),
        .ffn = drawer.Draw(8, 300),
        .vocab = drawer.Draw(2, 150),
        .mix_rank = drawer.Draw(1, 40),
        .decay_rank = drawer.Draw(1, 70),
    };
    SCOPED_TRACE(i);
    ExpectAsTheOracle(Architecture::kRwkv6, testing::RandomRwkv6(sizes, i));
  }
}

TEST(SizeLawsTest, Rwkv7OfAnySize) {
  Drawer drawer;
  for (int i = 0; i < kNumSizes; ++i) {
    const testing::Rwkv7Sizes sizes = {
        .layers = drawer.Draw(1, 4),
        .heads = drawer.Draw(1, 5),
        .head_size = drawer.Draw(8, 130),
        .ffn = drawer.Draw(8, 300),
        .vocab = drawer.Draw(2, 150),
        .w_rank = drawer.Draw(1, 70),
        .a_rank = drawer.Draw(1, 70),
        .v_rank = drawer.Draw(1, 40),
        .g_rank = drawer.Draw(1, 130),
        .first_layer_has_v = i % 2 == 0,
    };
    SCOPED_TRACE(i);
    ExpectAsTheOracle(Architecture::kRwkv7, testing::RandomRwkv7(sizes, i));
  }
}

TEST(SizeLawsTest, QuantizedRwkv4OfAnyPossibleSize) {
  Drawer drawer;
  for (int i = 0; i < kNumSizes; ++i) {
    const testing::Rwkv4Sizes sizes = {
        .layers = drawer.Draw(1, 3),
        .embedding = kGroupCols * drawer.Draw(1, 5),
        .attention = kGroupCols * drawer.Draw(1, 3),
        .ffn = kGroupCols * drawer.Draw(1, 6),
        .vocab = drawer.Draw(kEnoughLogits, 150),
    };
    SCOPED_TRACE(i);
    ExpectQuantizedAsTheOracle(Architecture::kRwkv4,
                               testing::RandomRwkv4(sizes, i));
  }
}

TEST(SizeLawsTest, QuantizedRwkv7OfAnyPossibleSize) {
  Drawer drawer;
  for (int i = 0; i < kNumSizes; ++i) {
    const testing::Rwkv7Sizes sizes = {
        .layers = drawer.Draw(1, 3),
        .heads = 2 * drawer.Draw(1, 3),
        .head_size = kGroupCols / 2,
        .ffn = kPanelRows * drawer.Draw(1, 20),  // not all are whole groups
        .vocab = drawer.Draw(kEnoughLogits, 150),
    };
    SCOPED_TRACE(i);
    ExpectQuantizedAsTheOracle(Architecture::kRwkv7,
                               testing::RandomRwkv7(sizes, i));
  }
}

}  // namespace
}  // namespace rwkvd
