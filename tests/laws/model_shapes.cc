// SPDX-License-Identifier: Apache-2.0
#include "tests/laws/model_shapes.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/check.h"
#include "core/kernels/ggml/layout.h"
#include "core/quantize/weight_kind.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::DTypeOf;
using testing::TestTensors;

constexpr uint64_t kSeed = 42;

// The relative error of a matmul whose x is quantized.
const double kInt8Error = std::sqrt(1.0 * kGroupCols) / (2 * 127);
const double kInt16Error = std::sqrt(1.0 * kGroupCols) / (2 * 32512);

constexpr Architecture kArchitectures[] = {
    Architecture::kRwkv4,  Architecture::kRwkv50, Architecture::kRwkv51,
    Architecture::kRwkv52, Architecture::kRwkv6,  Architecture::kRwkv7};

// So many hidden units that int8 ffn.value is stored in column blocks.
constexpr int64_t kManyHidden = kMinSkippedCols;

TestTensors MakeRwkv4(bool odd, DTypeOf dtype) {
  testing::Rwkv4Sizes sizes{.layers = 2,
                            .embedding = 64,
                            .attention = 64,
                            .ffn = kManyHidden,
                            .vocab = 100};
  if (odd) sizes = {3, 37, 41, 67, kOddVocab};
  return testing::RandomRwkv4(sizes, kSeed, dtype);
}

TestTensors MakeRwkv5(int minor, bool odd, DTypeOf dtype) {
  testing::Rwkv5Sizes sizes{
      .minor = minor, .heads = 2, .head_size = 32, .ffn = 256, .vocab = 100};
  if (odd) sizes = {minor, 3, 3, 11, 67, kOddVocab};
  return testing::RandomRwkv5(sizes, kSeed, dtype);
}

TestTensors MakeRwkv6(bool odd, DTypeOf dtype) {
  testing::Rwkv6Sizes sizes{
      .heads = 2, .head_size = 32, .ffn = 256, .vocab = 100};
  if (odd) sizes = {3, 3, 11, 67, kOddVocab, 5, 7};
  return testing::RandomRwkv6(sizes, kSeed, dtype);
}

TestTensors MakeRwkv7(bool odd, DTypeOf dtype) {
  testing::Rwkv7Sizes sizes{
      .heads = 2, .head_size = 32, .ffn = kManyHidden, .vocab = 100};
  if (odd) sizes = {3, 3, 11, 67, kOddVocab, 5, 7, 3, 9, false};
  return testing::RandomRwkv7(sizes, kSeed, dtype);
}

}  // namespace

std::vector<ModelShape> AllShapes() {
  std::vector<ModelShape> shapes;
  for (Architecture architecture : kArchitectures) {
    shapes.push_back({architecture, false});
    shapes.push_back({architecture, true});
  }
  return shapes;
}

std::vector<ModelShape> OddShapes() {
  std::vector<ModelShape> shapes;
  for (Architecture architecture : kArchitectures) {
    shapes.push_back({architecture, true});
  }
  return shapes;
}

std::vector<ModelShape> EvenShapes() {
  std::vector<ModelShape> shapes;
  for (Architecture architecture : kArchitectures) {
    shapes.push_back({architecture, false});
  }
  return shapes;
}

TestTensors MakeTensors(const ModelShape& shape, DTypeOf dtype) {
  switch (shape.architecture) {
    case Architecture::kRwkv4:
      return MakeRwkv4(shape.odd_sizes, dtype);
    case Architecture::kRwkv50:
      return MakeRwkv5(0, shape.odd_sizes, dtype);
    case Architecture::kRwkv51:
      return MakeRwkv5(1, shape.odd_sizes, dtype);
    case Architecture::kRwkv52:
      return MakeRwkv5(2, shape.odd_sizes, dtype);
    case Architecture::kRwkv6:
      return MakeRwkv6(shape.odd_sizes, dtype);
    case Architecture::kRwkv7:
      return MakeRwkv7(shape.odd_sizes, dtype);
  }
  RWKVD_CHECK(false);
}

TestTensors MakeTensors(const ModelShape& shape, DType dtype) {
  return MakeTensors(shape, [dtype](const std::string&) { return dtype; });
}

double RelativeErrorBound(const ModelConfig& config) {
  const double products = 4.0 * config.num_layers + 1;
  const double terms = static_cast<double>(
      std::max({config.ffn_size, config.embedding_size, config.head_size}));
  return products * std::sqrt(terms) * 0x1p-24;
}

double RelativeErrorBound(const ModelConfig& config, DType block_type,
                          ActivationKind activations) {
  const double layers = static_cast<double>(config.num_layers);
  const double of_most =
      activations == ActivationKind::kInt8 ? kInt8Error : kInt16Error;
  const double of_ffn =
      GgmlLayoutOf(block_type).bits <= 4 ? kInt8Error : of_most;
  return RelativeErrorBound(config) + layers * 2 * (of_most + of_ffn) + of_most;
}

double RelativeErrorBound(const ModelConfig& config, WeightKind kind,
                          ActivationKind activations) {
  const double layers = static_cast<double>(config.num_layers);
  const double of_most =
      activations == ActivationKind::kInt8 ? kInt8Error : kInt16Error;
  double of_x = 0;
  switch (kind) {
    case WeightKind::kAsStored:
      break;
    case WeightKind::kInt8:
      of_x = layers * (3 * of_most + kInt8Error) + of_most;
      break;
    case WeightKind::kInt8Mixed:
      of_x = layers * 3 * of_most;
      break;
    case WeightKind::kInt4:
      of_x = (4 * layers + 1) * kInt8Error;
      break;
    case WeightKind::kInt4Mixed:
      of_x = 4 * layers * kInt8Error + of_most;
      break;
  }
  return RelativeErrorBound(config) + of_x;
}

std::string NameOf(const ModelShape& shape) {
  return absl::StrCat(
      absl::StrReplaceAll(NameOf(shape.architecture), {{".", ""}}),
      shape.odd_sizes ? "Odd" : "Even");
}

}  // namespace rwkvd
