// SPDX-License-Identifier: Apache-2.0
// Tests loading of quantized checkpoints, valid and hostile, and quantization
// while loading.

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "core/model/weight_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/quantized_checkpoint.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::MakeQuantizedFile;
using testing::Quantized;
using testing::TestTensors;

constexpr WeightKind kKinds[] = {WeightKind::kInt8, WeightKind::kInt8Mixed,
                                 WeightKind::kInt4, WeightKind::kInt4Mixed};
constexpr char kKey[] = "blocks.1.att.key.weight";
constexpr char kQuants[] = "blocks.1.att.key.weight.int8.rows";
constexpr char kScales[] = "blocks.1.att.key.weight.scales";

std::vector<TestTensors> OneOfEachVersion(DType dtype = DType::kF32) {
  return {
      testing::RandomRwkv4({.layers = 2,
                            .embedding = 64,
                            .attention = 128,
                            .ffn = 192,
                            .vocab = 70},
                           1, dtype),
      testing::RandomRwkv5(
          {.minor = 0, .heads = 2, .head_size = 32, .ffn = 192}, 1, dtype),
      testing::RandomRwkv5(
          {.minor = 1, .heads = 2, .head_size = 32, .ffn = 192}, 1, dtype),
      testing::RandomRwkv5(
          {.minor = 2, .heads = 2, .head_size = 32, .ffn = 192}, 1, dtype),
      testing::RandomRwkv6({.heads = 2, .head_size = 32, .ffn = 192}, 1, dtype),
      testing::RandomRwkv7({.heads = 2,
                            .head_size = 32,
                            .ffn = 192,
                            .vocab = 70,
                            .first_layer_has_v = false},
                           1, dtype),
  };
}

TestTensors SomeQuantized() {
  return Quantized(OneOfEachVersion()[0], WeightKind::kInt8);
}

// Also with a size that does not fill the last column block.
std::string QuantizedRefusal(const std::shared_ptr<const TensorFile>& file,
                             const ModelOptions& options = {}) {
  const auto model = LoadModel(file, options);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(model.status().message());
}

std::string QuantizedRefusal(const TestTensors& tensors) {
  return QuantizedRefusal(MakeQuantizedFile(tensors));
}

TEST(QuantizedWeightsTest, ConfigEqualsThatOfTheOriginal) {
  for (const TestTensors& tensors : OneOfEachVersion()) {
    const auto original = DeduceConfig(*testing::MakeTensorFile(tensors));
    ASSERT_TRUE(original.ok()) << original.status();
    for (const WeightKind kind : kKinds) {
      const auto config =
          DeduceConfig(*MakeQuantizedFile(Quantized(tensors, kind)));
      ASSERT_TRUE(config.ok()) << config.status();
      EXPECT_EQ(config->weight_type, NameOf(kind));
      EXPECT_EQ(config->architecture, original->architecture);
      EXPECT_EQ(config->num_layers, original->num_layers);
      EXPECT_EQ(config->embedding_size, original->embedding_size);
      EXPECT_EQ(config->attention_size, original->attention_size);
      EXPECT_EQ(config->num_heads, original->num_heads);
      EXPECT_EQ(config->head_size, original->head_size);
      EXPECT_EQ(config->ffn_size, original->ffn_size);
      EXPECT_EQ(config->vocab_size, original->vocab_size);
      EXPECT_EQ(config->num_parameters, original->num_parameters);
    }
  }
}

TEST(QuantizedWeightsTest, WeightTypeOfSeveralTypesIsMixed) {
  TestTensors tensors = SomeQuantized();
  const TestTensors int4 = Quantized(OneOfEachVersion()[0], WeightKind::kInt4);
  tensors.erase(kQuants);
  tensors[kScales] = int4.at(kScales);
  tensors["blocks.1.att.key.weight.int4.rows"] =
      int4.at("blocks.1.att.key.weight.int4.rows");
  const auto model = LoadModel(MakeQuantizedFile(tensors));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->config().weight_type, "mixed");
}

TEST(QuantizedWeightsTest, WeightTypeReportsQuantizationWhileLoading) {
  ThreadPool pool(2);
  for (const TestTensors& tensors : OneOfEachVersion()) {
    for (const WeightKind kind : kKinds) {
      const auto model = LoadModel(testing::MakeTensorFile(tensors),
                                   {.weights = kind, .pool = &pool});
      ASSERT_TRUE(model.ok()) << model.status();
      EXPECT_EQ((*model)->config().weight_type, NameOf(kind));
    }
  }
}

TEST(QuantizedWeightsTest, UsesStoredQuantsWhereTheyAreMapped) {
  const auto file = MakeQuantizedFile(SomeQuantized());
  WeightReader reader(*file);
  const Matrix matrix = reader.TakeMatrix(kKey, 128, 64);
  ASSERT_TRUE(matrix.quantized.has_value());
  EXPECT_EQ(static_cast<const void*>(matrix.quantized->quants),
            file->Find(kQuants)->data.data());
  EXPECT_EQ(static_cast<const void*>(matrix.quantized->scales),
            file->Find(kScales)->data.data());
  EXPECT_EQ(matrix.rows, 128);
  EXPECT_EQ(matrix.cols, 64);
  EXPECT_EQ(matrix.quantized->rows, 128);
  EXPECT_EQ(matrix.quantized->cols, 64);
  EXPECT_TRUE(matrix.quantized->int16_activations);
  EXPECT_EQ(reader.Owner(file), file);
}

TEST(QuantizedWeightsTest, ActivationsAreInt8IfWanted) {
  const auto stored = MakeQuantizedFile(SomeQuantized());
  const auto original = testing::MakeTensorFile(OneOfEachVersion()[0]);
  for (const auto& [file, weights] : {std::pair(stored, WeightKind::kAsStored),
                                      std::pair(original, WeightKind::kInt8)}) {
    WeightReader reader(
        *file, {.weights = weights, .activations = ActivationKind::kInt8});
    const Matrix matrix = reader.TakeMatrix(kKey, 128, 64);
    ASSERT_TRUE(matrix.quantized.has_value());
    EXPECT_FALSE(matrix.quantized->int16_activations);
  }
}

// For all storage types and numbers of threads.
TEST(QuantizedWeightsTest, QuantizingWhileLoadingGivesTheBytesOfConversion) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const TestTensors tensors = OneOfEachVersion(dtype)[0];
    const auto stored =
        MakeQuantizedFile(Quantized(tensors, WeightKind::kInt8));
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      auto file = testing::MakeTensorFile(tensors);
      WeightReader reader(*file, {.weights = WeightKind::kInt8, .pool = &pool});
      const Matrix matrix = reader.TakeMatrix(kKey, 128, 64);
      const auto owner = reader.Owner(file);
      file.reset();
      ASSERT_TRUE(matrix.quantized.has_value());
      EXPECT_EQ(std::memcmp(matrix.quantized->quants,
                            stored->Find(kQuants)->data.data(), 128 * 64),
                0);
      EXPECT_EQ(std::memcmp(matrix.quantized->scales,
                            stored->Find(kScales)->data.data(), 128 * 2),
                0);
      EXPECT_NE(owner->Find(kKey), nullptr);
    }
  }
}

TEST(QuantizedWeightsTest, RefusesToQuantizeAQuantizedFile) {
  EXPECT_THAT(QuantizedRefusal(MakeQuantizedFile(SomeQuantized()),
                               {.weights = WeightKind::kInt8}),
              HasSubstr("quantized already"));
}

TEST(QuantizedWeightsTest, NamesWeightsThatAreNotFinite) {
  TestTensors tensors = OneOfEachVersion()[0];
  tensors[kKey].values[100 * 64 + 3] = INFINITY;
  EXPECT_THAT(QuantizedRefusal(testing::MakeTensorFile(tensors),
                               {.weights = WeightKind::kInt4}),
              HasSubstr("tensor \"blocks.1.att.key.weight\": cannot be "
                        "quantized: rows 96 to 111 contain a weight that is "
                        "not finite"));
}

// Tensors with one kind of damage, and the expected message.
struct Damage {
  std::function<void(TestTensors&)> apply;
  std::string said;
};

TEST(QuantizedWeightsTest, RefusesDamagedFilesWithTheReason) {
  const auto erase = [](const std::string& name) {
    return [name](TestTensors& tensors) { tensors.erase(name); };
  };
  const auto reshape = [](const std::string& name, std::vector<int64_t> shape) {
    return [=](TestTensors& tensors) {
      tensors[name].shape = shape;
      int64_t size = 1;
      for (int64_t dimension : shape) size *= dimension;
      tensors[name].values.resize(size);
    };
  };
  const auto retype = [](const std::string& name, DType dtype) {
    return [=](TestTensors& tensors) { tensors[name].dtype = dtype; };
  };
  const auto copy = [](const std::string& from, const std::string& to) {
    return [=](TestTensors& tensors) { tensors[to] = tensors[from]; };
  };
  const auto rename = [](const std::string& from, const std::string& to) {
    return [=](TestTensors& tensors) {
      tensors[to] = tensors[from];
      tensors.erase(from);
    };
  };
  const std::string key = kKey, quants = kQuants, scales = kScales;
  const std::vector<Damage> damages = {
      {erase(scales), "\"" + scales + "\" is missing"},
      {erase(quants), "\"" + key + "\" is missing"},
      {reshape(quants, {7, 1024}),
       "\"" + quants + "\" expected U8 [8, 1024], got U8 [7, 1024]"},
      {reshape(quants, {8, 512}), "expected U8 [8, 1024], got U8 [8, 512]"},
      {reshape(quants, {8192}), "expected U8 [8, 1024], got U8 [8192]"},
      {reshape(quants, {0, 1024}), "expected U8 [8, 1024], got U8 [0, 1024]"},
      {retype(quants, DType::kF16), "expected U8 [8, 1024], got F16"},
      {reshape(scales, {8, 1, 8}),
       "\"" + scales + "\" expected BF16 [8, 1, 16], got BF16 [8, 1, 8]"},
      {reshape(scales, {8, 16}), "expected BF16 [8, 1, 16], got BF16 [8, 16]"},
      {retype(scales, DType::kF16), "expected BF16 [8, 1, 16], got F16"},
      {retype(scales, DType::kF32), "expected BF16 [8, 1, 16], got F32"},
      // The other type has half the bytes.
      {rename(quants, key + ".int4.rows"), "expected U8 [8, 512], got"},
      // Both forms of a matrix, and an unknown tensor.
      {copy(quants, key + ".int4.rows"),
       "\"" + key + ".int4.rows\" is unknown"},
      {copy("emb.weight", key), "\"" + key + "\" is unknown"},
      {rename(quants, key + ".int8.columns"), "\"" + key + "\" is missing"},
      {rename(quants, key + ".int5.rows"), "\"" + key + "\" is missing"},
      {copy(scales, "emb.weight.scales"), "\"emb.weight.scales\" is unknown"},
      {rename("emb.weight", "emb.weight.int8.rows"), "emb.weight"},
      // Bytes in place of numbers.
      {retype("blocks.0.ln1.weight", DType::kU8),
       "\"blocks.0.ln1.weight\" expected numbers, F32, F16 or BF16, got U8"},
      {retype("emb.weight", DType::kU8), "\"emb.weight\" expected numbers"},
      // Sizes that are deduced from quants.
      {reshape("blocks.0.att.key.weight.int8.rows", {8, 0}),
       "\"blocks.0.att.key.weight.int8.rows\": expected [packed blocks, bytes"},
      {reshape("blocks.0.ffn.key.weight.int8.rows", {0, 1024}),
       "\"blocks.0.ffn.key.weight.int8.rows\": expected [packed blocks, bytes"},
      {reshape("blocks.0.ffn.key.weight.int8.rows", {12288}),
       "\"blocks.0.ffn.key.weight.int8.rows\": expected [packed blocks, bytes"},
      {reshape("head.weight.int8.rows", {int64_t{1} << 62, 0}),
       "\"head.weight.int8.rows\" expected U8 [5, 1024]"},
      {reshape("blocks.0.att.key.weight.int8.rows", {int64_t{1} << 60, 0}),
       "expected [packed blocks, bytes"},
  };
  for (const Damage& damage : damages) {
    TestTensors tensors = SomeQuantized();
    damage.apply(tensors);
    EXPECT_THAT(QuantizedRefusal(tensors), HasSubstr(damage.said));
  }
}

TEST(QuantizedWeightsTest, RefusesMisalignedQuants) {
  const TestTensors tensors = SomeQuantized();
  int refused = 0;
  for (int padding = 0; padding < 64; ++padding) {
    const auto file = testing::MakeTensorFile(tensors, 0, padding);
    const auto model = LoadModel(file);
    if (model.ok()) continue;
    EXPECT_THAT(std::string(model.status().message()),
                HasSubstr("expected at a multiple of 64 bytes of its file"));
    EXPECT_THAT(std::string(model.status().message()),
                HasSubstr("rwkv-convert"));
    ++refused;
  }
  EXPECT_EQ(refused, 63);
}

}  // namespace
}  // namespace rwkvd
