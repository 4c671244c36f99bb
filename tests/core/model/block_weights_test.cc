// SPDX-License-Identifier: Apache-2.0
// Tests models whose matrices have a block type of ggml.

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "core/model/weight_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::TestTensor;
using testing::TestTensors;

constexpr int64_t kBlockSize = 32;
constexpr float kScale = 0x1p-6f;  // of all blocks

// A matrix in Q8_0, as a safetensors file holds it, and its exact elements.
struct Q8Matrix {
  TestTensor blocks;  // U8
  TestTensor elements;
};

Q8Matrix ToQ8(const TestTensor& matrix) {
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  Q8Matrix result;
  result.elements = {.shape = matrix.shape};
  result.blocks = {.shape = {rows, cols / kBlockSize * (kBlockSize + 2)},
                   .dtype = DType::kU8};
  for (size_t i = 0; i < matrix.values.size(); ++i) {
    if (i % kBlockSize == 0) {  // the bytes of kScale in f16
      result.blocks.values.insert(result.blocks.values.end(), {0x00, 0x24});
    }
    const int quant = static_cast<int>(
        std::clamp(std::round(matrix.values[i] / kScale), -128.0f, 127.0f));
    result.blocks.values.push_back(static_cast<uint8_t>(quant));
    result.elements.values.push_back(kScale * static_cast<float>(quant));
  }
  return result;
}

TestTensors SmallModel() {
  return testing::RandomRwkv7({.heads = 2,
                               .head_size = 32,
                               .ffn = 96,
                               .vocab = 70,
                               .first_layer_has_v = false},
                              1, DType::kF32);
}

// The same model with some matrices as blocks, and as f32.
struct TwoForms {
  TestTensors blocks = SmallModel();
  TestTensors elements = SmallModel();

  void Replace(const std::string& name) {
    Q8Matrix matrix = ToQ8(elements.at(name));
    blocks.erase(name);
    blocks[name + ".q8_0"] = std::move(matrix.blocks);
    elements[name] = std::move(matrix.elements);
  }
  void ReplaceTransposed(const std::string& name) {
    Q8Matrix matrix = ToQ8(testing::TransposedCopy(elements.at(name)));
    blocks.erase(name);
    blocks[name + ".q8_0.transposed"] = std::move(matrix.blocks);
    elements[name] = testing::TransposedCopy(matrix.elements);
  }
};

std::vector<float> LogitsOf(const TestTensors& tensors) {
  ThreadPool pool(2);
  const auto model =
      LoadModel(testing::MakeTensorFile(tensors),
                {.activations = ActivationKind::kF32, .pool = &pool});
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return {};
  const std::vector<int32_t> text = {1, 52, 7, 7, 31, 0};
  Workspace workspace = (*model)->NewWorkspace(text.size(), &pool);
  State state = (*model)->NewState();
  std::vector<float> logits(text.size() * (*model)->config().vocab_size);
  (*model)->Forward({{.tokens = text,
                      .state = &state,
                      .wanted = LogitsWanted::kAll,
                      .logits = absl::MakeSpan(logits)}},
                    workspace);
  return logits;
}

TEST(BlockWeightsTest, LogitsEqualThoseOfTheElements) {
  TwoForms model;
  for (const char* name :
       {"emb.weight", "head.weight", "blocks.0.att.key.weight",
        "blocks.1.ffn.value.weight"}) {
    model.Replace(name);
  }
  model.ReplaceTransposed("blocks.0.att.g1");
  EXPECT_EQ(LogitsOf(model.blocks), LogitsOf(model.elements));
}

TEST(BlockWeightsTest, TheWeightTypeIsThatOfMostBlocks) {
  TwoForms model;
  model.Replace("head.weight");
  const auto loaded = LoadModel(testing::MakeTensorFile(model.blocks), {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->config().weight_type, "Q8_0");
}

TEST(BlockWeightsTest, ActivationsAreInt8IfWanted) {
  TwoForms model;
  model.Replace("head.weight");
  const auto file = testing::MakeTensorFile(model.blocks);
  for (const auto& [activations, is_int16] :
       {std::pair(ActivationKind::kAuto, true),
        std::pair(ActivationKind::kInt8, false)}) {
    WeightReader reader(*file, {.activations = activations});
    const Matrix head = reader.TakeMatrix("head.weight", 70, 64);
    ASSERT_TRUE(head.ggml.has_value());
    EXPECT_EQ(head.ggml->int16_activations, is_int16);
  }
}

TEST(BlockWeightsTest, MatricesOfAnotherSizeAreRefused) {
  TwoForms model;
  model.Replace("head.weight");
  TestTensor& head = model.blocks.at("head.weight.q8_0");
  head.shape = {35, 136};
  const auto loaded = LoadModel(testing::MakeTensorFile(model.blocks), {});
  EXPECT_THAT(std::string(loaded.status().message()),
              HasSubstr("\"head.weight\" expected [70, 64], got [35, 128]"));
}

TEST(BlockWeightsTest, TensorsAreCheckedWithoutAModel) {
  TwoForms model;
  for (const char* name : {"emb.weight", "head.weight"}) model.Replace(name);
  model.ReplaceTransposed("blocks.0.att.g1");
  EXPECT_EQ(CheckTensors(testing::MakeTensorFile(model.blocks)),
            absl::OkStatus());
  model.blocks.erase("blocks.1.att.k_k");
  EXPECT_THAT(
      std::string(
          CheckTensors(testing::MakeTensorFile(model.blocks)).message()),
      HasSubstr("\"blocks.1.att.k_k\" is missing"));
}

}  // namespace
}  // namespace rwkvd
