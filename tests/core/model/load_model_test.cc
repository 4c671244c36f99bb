// SPDX-License-Identifier: Apache-2.0
#include "core/model/load_model.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/thread_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::Rwkv4Sizes;
using testing::TestTensors;

constexpr Rwkv4Sizes kSizes = {
    .layers = 2, .embedding = 16, .attention = 24, .ffn = 40, .vocab = 30};

TestTensors SomeRwkv4() { return testing::RandomRwkv4(kSizes, 1); }

absl::StatusOr<std::unique_ptr<const Model>> Load(const TestTensors& tensors) {
  return LoadModel(testing::MakeTensorFile(tensors));
}

std::string Refusal(const TestTensors& tensors) {
  const auto model = Load(tensors);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(model.status().message());
}

TEST(LoadModelTest, ReadsSizesFromShapes) {
  const auto model = Load(SomeRwkv4());
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelConfig& config = (*model)->config();
  EXPECT_EQ(NameOf(config.architecture), "rwkv4");
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.embedding_size, 16);
  EXPECT_EQ(config.attention_size, 24);
  EXPECT_EQ(config.ffn_size, 40);
  EXPECT_EQ(config.vocab_size, 30);
  EXPECT_EQ(config.weight_type, "F32");
  int64_t parameters = 0;
  for (const auto& [name, tensor] : SomeRwkv4()) {
    parameters += tensor.values.size();
  }
  EXPECT_EQ(config.num_parameters, parameters);
  // Per layer: two vectors [embedding_size] and three [attention_size].
  EXPECT_EQ((*model)->NewState().bytes(), 2 * (2 * 16 + 3 * 24) * 4u);
}

TEST(LoadModelTest, ReportsWeightTypes) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const auto model = Load(testing::RandomRwkv4(kSizes, 1, dtype));
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->config().weight_type, std::string(NameOf(dtype)));
  }
  TestTensors mixed = SomeRwkv4();
  mixed["head.weight"].dtype = DType::kBF16;
  EXPECT_EQ((*Load(mixed))->config().weight_type, "mixed");
}

TEST(LoadModelTest, UsesMatricesWhereTheyAreMapped) {
  // Forward sees a change of the file after loading.
  const TestTensors tensors = SomeRwkv4();
  const std::string path =
      testing::WriteCheckpoint(::testing::TempDir(), tensors);
  auto model = LoadModel(*TensorFile::Open(path));
  ASSERT_TRUE(model.ok()) << model.status();
  ThreadPool pool(1);
  Workspace workspace = (*model)->NewWorkspace(1, &pool);
  const auto logits = [&] {
    State state = (*model)->NewState();
    std::vector<float> values(kSizes.vocab);
    (*model)->Forward({{.tokens = {5},
                        .state = &state,
                        .wanted = LogitsWanted::kLast,
                        .logits = absl::MakeSpan(values)}},
                      workspace);
    return values;
  };
  const auto before = logits();
  const std::string bytes = testing::SafetensorsBytes(tensors);
  TestTensors other = tensors;
  for (float& value : other["head.weight"].values) value *= 2;
  const std::string changed = testing::SafetensorsBytes(other);
  ASSERT_EQ(changed.size(), bytes.size());
  FILE* file = fopen(path.c_str(), "r+b");
  ASSERT_EQ(fwrite(changed.data(), 1, changed.size(), file), changed.size());
  fclose(file);
  const auto after = logits();
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_FLOAT_EQ(after[i], 2 * before[i]);
  }
}

TEST(LoadModelTest, NamesAllMissingAndMisshapenTensors) {
  TestTensors tensors = SomeRwkv4();
  tensors.erase("blocks.1.att.value.weight");
  tensors.erase("ln_out.bias");
  tensors["blocks.0.ffn.value.weight"].shape = {40, 16};  // transposed
  tensors["blocks.1.ln2.weight"].shape = {4, 4};
  const std::string message = Refusal(tensors);
  EXPECT_THAT(message, HasSubstr("4 tensors are missing, misshapen"));
  EXPECT_THAT(message, HasSubstr("\"blocks.1.att.value.weight\" is missing"));
  EXPECT_THAT(message, HasSubstr("\"ln_out.bias\" is missing"));
  EXPECT_THAT(message, HasSubstr("\"blocks.0.ffn.value.weight\" expected "
                                 "[16, 40], got [40, 16]"));
  EXPECT_THAT(message, HasSubstr("\"blocks.1.ln2.weight\" expected [16], "
                                 "got [4, 4]"));
}

TEST(LoadModelTest, TensorsAreCheckedWithoutAModel) {
  TestTensors tensors = SomeRwkv4();
  EXPECT_EQ(CheckTensors(testing::MakeTensorFile(tensors)), absl::OkStatus());
  tensors.erase("blocks.1.ffn.key.weight");
  EXPECT_THAT(
      std::string(CheckTensors(testing::MakeTensorFile(tensors)).message()),
      HasSubstr("\"blocks.1.ffn.key.weight\" is missing"));
}

TEST(LoadModelTest, RefusesUnknownTensorsByName) {
  for (const char* name :
       {"blocks.1.att.novelty.weight", "blocks.0.att.time_state"}) {
    TestTensors tensors = SomeRwkv4();
    tensors[name] = {.shape = {1}, .values = {0}};
    EXPECT_THAT(Refusal(tensors),
                HasSubstr(absl::StrCat("\"", name,
                                       "\" is unknown; variants of this "
                                       "architecture")));
  }
}

TEST(LoadModelTest, RefusesOtherFiles) {
  TestTensors tensors;
  tensors["encoder.0.q_proj.weight"] = {.shape = {1}, .values = {0}};
  EXPECT_THAT(Refusal(tensors), HasSubstr("not an RWKV checkpoint"));
}

TEST(LoadModelTest, RefusesHostileLayerNumbers) {
  for (const char* name : {"blocks.4096.x", "blocks.-1.x",
                           "blocks.99999999999999999999.x", "blocks.one.x"}) {
    TestTensors tensors = SomeRwkv4();
    tensors[name] = {.shape = {1}, .values = {0}};
    EXPECT_THAT(Refusal(tensors), HasSubstr(name));
  }
}

TEST(LoadModelTest, RefusesAnEmbeddingThatIsNotAMatrix) {
  TestTensors tensors = SomeRwkv4();
  tensors["emb.weight"].shape = {480};
  EXPECT_THAT(Refusal(tensors), HasSubstr("\"emb.weight\": expected a matrix"));
  tensors.erase("emb.weight");
  EXPECT_THAT(Refusal(tensors), HasSubstr("missing tensor \"emb.weight\""));
}

}  // namespace
}  // namespace rwkvd
