// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/adapter.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/merge_adapters.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/test_tensor.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TestTensor;
using testing::TestTensors;

constexpr char kKey[] = "blocks.1.att.key.weight";
constexpr char kConfig[] = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 6)";

// Small whole numbers, so that products and sums are exact.
TestTensor Whole(std::vector<int64_t> shape, int seed) {
  TestTensor tensor{.shape = std::move(shape)};
  int64_t num = 1;
  for (const int64_t size : tensor.shape) num *= size;
  for (int64_t i = 0; i < num; ++i) {
    tensor.values.push_back(static_cast<float>((i * 7 + seed * 5) % 9 - 4));
  }
  return tensor;
}

class AdapterTest : public ::testing::Test {
 protected:
  AdapterTest() {
    base_ = testing::RandomRwkv4(
        {.layers = 2, .embedding = 4, .attention = 6, .ffn = 8, .vocab = 10},
        1);
    base_[kKey] = Whole({6, 4}, 1);
    a_ = Whole({2, 4}, 2);
    b_ = Whole({6, 2}, 3);
  }

  // Writes a folder of PEFT; `fields` are added to its configuration.
  std::string WritePeft(const TestTensors& tensors,
                        absl::string_view fields = "") {
    const std::string folder = testing::MakeTempDirectory();
    testing::WriteFileOrDie(folder + "/adapter_model.safetensors",
                            testing::SafetensorsBytes(tensors));
    testing::WriteFileOrDie(
        folder + "/adapter_config.json",
        absl::StrCat(kConfig, fields.empty() ? "" : ", ", fields, "}"));
    return folder;
  }

  // Writes the only matrices of a_ and b_.
  std::string WritePeft(absl::string_view module,
                        absl::string_view fields = "") {
    return WritePeft({{absl::StrCat(module, ".lora_A.weight"), a_},
                      {absl::StrCat(module, ".lora_B.weight"), b_}},
                     fields);
  }

  absl::StatusOr<std::shared_ptr<const TensorFile>> Merge(
      const std::vector<std::string>& paths,
      std::optional<double> alpha = std::nullopt,
      std::optional<DType> dtype = std::nullopt) {
    std::vector<AdapterPath> where;
    for (const std::string& path : paths) where.push_back({"it", path});
    auto adapters = OpenAdapters(where, alpha);
    if (!adapters.ok()) return adapters.status();
    return MergeAdapters(testing::MakeTensorFile(base_), *adapters, dtype,
                         pool_);
  }

  std::string Refusal(const std::vector<std::string>& paths,
                      std::optional<double> alpha = std::nullopt) {
    const auto merged = Merge(paths, alpha);
    EXPECT_EQ(merged.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(merged.status().message());
  }

  // W + scale B A.
  std::vector<float> Expected(const TestTensor& w, double scale) const {
    std::vector<float> sum = w.values;
    for (int64_t i = 0; i < 6; ++i) {
      for (int64_t j = 0; j < 4; ++j) {
        double product = 0;
        for (int k = 0; k < 2; ++k) {
          product += double{b_.values[i * 2 + k]} * a_.values[k * 4 + j];
        }
        sum[i * 4 + j] += static_cast<float>(scale * product);
      }
    }
    return sum;
  }

  TestTensors base_;
  TestTensor a_, b_;
  ThreadPool pool_{3};
};

TEST_F(AdapterTest, AddsTheProductToTheMatrixAndChangesNothingElse) {
  for (const char* module :
       {"base_model.model.blocks.1.att.key",
        "base_model.model.rwkv7.blocks.1.att.key",
        "base_model.model.model.blocks.1.att.key", "blocks.1.att.key"}) {
    const auto merged = Merge({WritePeft(module)});
    ASSERT_TRUE(merged.ok()) << merged.status();
    for (const auto& [name, tensor] : base_) {
      EXPECT_EQ(ToFloat(*(*merged)->Find(name)),
                name == kKey ? Expected(tensor, 3) : tensor.values)
          << name;
      EXPECT_EQ((*merged)->Find(name)->shape, tensor.shape);
    }
    EXPECT_EQ((*merged)->replaced_bytes(), 6 * 4 * 4);
    EXPECT_NE((*merged)->Fingerprint(),
              testing::MakeTensorFile(base_)->Fingerprint());
  }
}

TEST_F(AdapterTest, FileThatIsTruncatedMeanwhileIsNotMerged) {
  const std::string folder = WritePeft("blocks.1.att.key");
  const std::vector<AdapterPath> where = {AdapterPath{"it", folder}};
  const auto adapters = OpenAdapters(where, std::nullopt);
  ASSERT_TRUE(adapters.ok()) << adapters.status();
  const std::string weights = folder + "/adapter_model.safetensors";
  std::filesystem::resize_file(weights,
                               std::filesystem::file_size(weights) - 1);
  const auto merged = MergeAdapters(testing::MakeTensorFile(base_), *adapters,
                                    std::nullopt, pool_);
  EXPECT_EQ(merged.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(merged.status().message()), HasSubstr(weights));
}

TEST_F(AdapterTest, KnowsTheNamesOfOtherLayouts) {
  base_["blocks.1.att.receptance.weight"] = Whole({6, 4}, 4);
  for (const char* module :
       {"base_model.model.model.layers.1.attn.r_proj",
        "base_model.model.rwkv.blocks.1.attention.receptance",
        "module.base_model.model._orig_mod.blocks.1.att."
        "receptance"}) {
    const auto merged = Merge({WritePeft(module)});
    ASSERT_TRUE(merged.ok()) << merged.status();
    EXPECT_EQ(ToFloat(*(*merged)->Find("blocks.1.att.receptance.weight")),
              Expected(base_["blocks.1.att.receptance.weight"], 3));
  }
}

// Some libraries store the low-rank matrices of RWKV-7 as layers, transposed.
TEST_F(AdapterTest, TransposesTheProductForMatricesThatAreTransposed) {
  base_["blocks.1.att.w1"] = Whole({4, 6}, 4);
  for (const char* module : {"base_model.model.model.blocks.1.att.w1",
                             "model.layers.1.attn.w_lora.lora.0"}) {
    const auto merged = Merge({WritePeft(module)});
    ASSERT_TRUE(merged.ok()) << merged.status();
    const TestTensor stored = testing::TransposedCopy(base_["blocks.1.att.w1"]);
    const TestTensor expected = testing::TransposedCopy(
        {.shape = {6, 4}, .values = Expected(stored, 3)});
    EXPECT_EQ(ToFloat(*(*merged)->Find("blocks.1.att.w1")), expected.values);
  }
}

TEST_F(AdapterTest, FollowsTheScalesOfItsConfiguration) {
  const std::pair<const char*, double> cases[] = {
      {R"("use_rslora": true)", 6 / std::sqrt(2.)},
      {R"("alpha_pattern": {"att.key": 10})", 5},
      {R"("alpha_pattern": {"att.value": 10})", 3},
      {R"("r": 9, "rank_pattern": {"key": 2})", 3}};
  for (const auto& [fields, scale] : cases) {
    std::string folder = WritePeft("base_model.model.blocks.1.att.key");
    testing::WriteFileOrDie(
        folder + "/adapter_config.json",
        absl::StrCat(R"({"peft_type": "LORA", "lora_alpha": 6, )",
                     absl::StrContains(fields, "\"r\"") ? "" : "\"r\": 2, ",
                     fields, "}"));
    const auto merged = Merge({folder});
    ASSERT_TRUE(merged.ok()) << merged.status();
    const auto expected = Expected(base_[kKey], scale);
    const auto got = ToFloat(*(*merged)->Find(kKey));
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 1e-5) << fields;
    }
  }
}

TEST_F(AdapterTest, ScalesRowsToTheMagnitudesOfDora) {
  TestTensor magnitude{.shape = {6}, .values = {1, 2, .5f, 3, 4, 7}};
  for (const char* suffix :
       {"lora_magnitude_vector", "lora_magnitude_vector.weight"}) {
    const std::string module = "base_model.model.blocks.1.att.key.";
    const auto merged = Merge({WritePeft({{module + "lora_A.weight", a_},
                                          {module + "lora_B.weight", b_},
                                          {module + suffix, magnitude}},
                                         R"("use_dora": true)")});
    ASSERT_TRUE(merged.ok()) << merged.status();
    const std::vector<float> sum = Expected(base_[kKey], 3);
    const auto got = ToFloat(*(*merged)->Find(kKey));
    for (int64_t i = 0; i < 6; ++i) {
      double length = 0;
      for (int j = 0; j < 4; ++j)
        length += double{sum[i * 4 + j]} * sum[i * 4 + j];
      length = std::sqrt(length);
      for (int j = 0; j < 4; ++j) {
        EXPECT_NEAR(got[i * 4 + j],
                    magnitude.values[i] * sum[i * 4 + j] / length, 1e-6);
      }
    }
  }
}

TEST_F(AdapterTest, ChangesAnEmbeddingByTheTransposedProduct) {
  const TestTensor a = Whole({2, 10}, 2), b = Whole({4, 2}, 3);
  const auto merged =
      Merge({WritePeft({{"base_model.model.emb.lora_embedding_A", a},
                        {"base_model.model.emb.lora_embedding_B", b}})});
  ASSERT_TRUE(merged.ok()) << merged.status();
  const auto got = ToFloat(*(*merged)->Find("emb.weight"));
  for (int64_t token = 0; token < 10; ++token) {
    for (int64_t i = 0; i < 4; ++i) {
      float sum = base_["emb.weight"].values[token * 4 + i];
      for (int k = 0; k < 2; ++k) {
        sum += 3 * b.values[i * 2 + k] * a.values[k * 10 + token];
      }
      EXPECT_FLOAT_EQ(got[token * 4 + i], sum);
    }
  }
}

TEST_F(AdapterTest, OldFilesTakeAlphaAndReplaceWholeTensors) {
  const TestTensor norm = Whole({4}, 4);
  TestTensor mix = Whole({4}, 5);
  const std::string path = testing::MakeTempDirectory() + "/rwkv-0.pth";
  testing::WriteFileOrDie(
      path,
      testing::PthBytes(
          {{"blocks.1.att.key.lora_A", testing::Rounded(a_, DType::kBF16)},
           {"blocks.1.att.key.lora_B", testing::Rounded(b_, DType::kBF16)},
           {"blocks.0.ln1.weight", norm},
           {"blocks.0.att.time_mix_k", mix}}));
  const auto merged = Merge({path}, 8);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(ToFloat(*(*merged)->Find(kKey)), Expected(base_[kKey], 4));
  EXPECT_EQ(ToFloat(*(*merged)->Find("blocks.0.ln1.weight")), norm.values);
  const Tensor* const replaced = (*merged)->Find("blocks.0.att.time_mix_k");
  EXPECT_EQ(ToFloat(*replaced), mix.values);
  EXPECT_EQ(replaced->shape, base_["blocks.0.att.time_mix_k"].shape);
  EXPECT_THAT(Refusal({path}), HasSubstr("--adapter_alpha"));
}

TEST_F(AdapterTest, AMatrixMayBeReplacedAndUpdated) {
  const TestTensor whole = Whole({6, 4}, 6);
  const auto merged =
      Merge({WritePeft({{"base_model.model.blocks.1.att.key.lora_A.weight", a_},
                        {"base_model.model.blocks.1.att.key.lora_B.weight", b_},
                        {"base_model.model.blocks.1.att.key.weight", whole}})});
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(ToFloat(*(*merged)->Find(kKey)), Expected(whole, 3));
}

// PEFT saves the embedding and the head whole if they are targets.
TEST_F(AdapterTest, TheWholeLayerBelowAnUpdateIsReplaced) {
  const TestTensor whole = Whole({6, 4}, 6);
  const std::string key = "base_model.model.blocks.1.att.key.";
  const auto merged = Merge({WritePeft({{key + "lora_A.weight", a_},
                                        {key + "lora_B.weight", b_},
                                        {key + "base_layer.weight", whole}})});
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(ToFloat(*(*merged)->Find(kKey)), Expected(whole, 3));
}

TEST_F(AdapterTest, SeveralAdaptersAddUp) {
  const std::string first = WritePeft("base_model.model.blocks.1.att.key");
  const std::string second = WritePeft("base_model.model.blocks.1.att.key",
                                       R"("alpha_pattern": {"key": 2})");
  const auto merged = Merge({first, second});
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(ToFloat(*(*merged)->Find(kKey)), Expected(base_[kKey], 4));
}

TEST_F(AdapterTest, RoundsOnceToTheTypeOfTheBase) {
  // Rounding to f32 first, and then to bf16, would give a tie and round it up.
  constexpr float kOdd = 1 + 0x1p-7f;
  base_[kKey].values.assign(24, kOdd);
  a_.values.assign(8, 0);
  b_.values.assign(12, 0);
  a_.values[0] = 0x1p-8f, b_.values[0] = 1.0f / 3;
  a_.values[4] = -0x1p-30f, b_.values[1] = 1.0f / 3;
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    base_[kKey].dtype = dtype;
    const auto merged = Merge({WritePeft("blocks.1.att.key")});
    ASSERT_TRUE(merged.ok()) << merged.status();
    const Tensor* const tensor = (*merged)->Find(kKey);
    EXPECT_EQ(tensor->dtype, dtype);
    const double third = double{b_.values[0]};
    const double sum = kOdd + 3 * third * 0x1p-8 - 3 * third * 0x1p-30;
    const float expected = dtype == DType::kBF16  ? kOdd
                           : dtype == DType::kF16 ? kOdd + 0x1p-8f
                                                  : static_cast<float>(sum);
    EXPECT_EQ(ToFloat(*tensor)[0], expected) << NameOf(dtype);
  }
}

TEST_F(AdapterTest, MergesIntoAnotherTypeOnRequest) {
  base_[kKey].dtype = DType::kBF16;
  const auto merged =
      Merge({WritePeft("blocks.1.att.key")}, std::nullopt, DType::kF32);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ((*merged)->Find(kKey)->dtype, DType::kF32);
}

TEST_F(AdapterTest, ListsAllTensorsWithoutAPlace) {
  const std::string message = Refusal(
      {WritePeft({{"base_model.model.blocks.7.att.key.lora_A.weight", a_},
                  {"base_model.model.blocks.7.att.key.lora_B.weight", b_},
                  {"base_model.model.blocks.0.ffn.key.lora_A.weight", a_},
                  {"base_model.model.blocks.0.ffn.key.lora_B.weight", b_},
                  {"base_model.model.blocks.0.ln9.weight", Whole({4}, 1)},
                  {"base_model.model.blocks.0.ln1.weight", Whole({5}, 1)}})});
  EXPECT_THAT(
      message,
      AllOf(HasSubstr("adapter_model.safetensors: 4 tensors have no place"),
            HasSubstr("\"blocks.7.att.key.weight\", which is missing"),
            HasSubstr("\"blocks.0.ffn.key.weight\" is [8, 4]"),
            HasSubstr("\"blocks.0.ln9.weight\", which is missing"),
            HasSubstr("\"blocks.0.ln1.weight\" expected [4], got [5]")));
}

TEST_F(AdapterTest, WeightsThatNoModelUsesNeedNoPlace) {
  const std::string key = "base_model.model.blocks.1.att.key.";
  const std::string layer = "base_model.model.blocks.0.att.";
  const auto merged = Merge({WritePeft({{key + "lora_A.weight", a_},
                                        {key + "lora_B.weight", b_},
                                        {layer + "v0", Whole({1, 1, 4}, 1)},
                                        {layer + "v1.lora_A.weight", a_},
                                        {layer + "v1.lora_B.weight", b_}})});
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ((*merged)->tensors().size(), base_.size());
  EXPECT_EQ((*merged)->replaced_bytes(), 6 * 4 * 4);
}

TEST_F(AdapterTest, RefusesIncompleteAndMisshapenMatrices) {
  const std::string key = "base_model.model.blocks.1.att.key.";
  EXPECT_THAT(Refusal({WritePeft({{key + "lora_A.weight", a_}})}),
              HasSubstr("expected tensor lora_B"));
  EXPECT_THAT(Refusal({WritePeft({{key + "lora_B.weight", b_}})}),
              HasSubstr("expected tensor lora_A"));
  EXPECT_THAT(Refusal({WritePeft({{key + "lora_A.weight", a_},
                                  {key + "lora_A", a_},
                                  {key + "lora_B.weight", b_}})}),
              HasSubstr("as is"));
  EXPECT_THAT(Refusal({WritePeft({{key + "lora_A.weight", a_},
                                  {key + "lora_B.weight", Whole({6, 3}, 1)}})}),
              HasSubstr("expected 2 columns"));
  EXPECT_THAT(Refusal({WritePeft({{key + "lora_A.weight", Whole({3, 4}, 1)},
                                  {key + "lora_B.weight", Whole({6, 3}, 1)}})}),
              HasSubstr("expected 2 rows"));
  EXPECT_THAT(Refusal({WritePeft({{key + "lora_A.weight", Whole({8}, 1)},
                                  {key + "lora_B.weight", b_}})}),
              HasSubstr("expected a matrix, got shape [8]"));
  EXPECT_THAT(Refusal({WritePeft("blocks.1.att.key", R"("use_dora": true)")}),
              HasSubstr("lora_magnitude_vector"));
  EXPECT_THAT(Refusal({WritePeft({{"ln_out.weight", Whole({4}, 1)}})}),
              HasSubstr("expected tensors NAME.lora_A"));
}

TEST_F(AdapterTest, RefusesOtherKindsByName) {
  const std::string path = testing::MakeTempDirectory() + "/rwkv-0.pth";
  const std::pair<const char*, const char*> cases[] = {
      {"blocks.0.att.key.bone", "Bone"},
      {"blocks.0.att.key.disha", "DiSHA"},
      {"blocks.0.att.key.miss", "MiSS"},
      {"blocks.0.att.key.init_lora_A", "PiSSA"}};
  for (const auto& [name, kind] : cases) {
    testing::WriteFileOrDie(path, testing::PthBytes({{name, a_}}));
    EXPECT_THAT(Refusal({path}, 8), AllOf(HasSubstr(name), HasSubstr(kind)));
  }
  testing::WriteFileOrDie(
      path,
      testing::PthBytes({{"blocks.0.att.time_state", Whole({2, 2, 2}, 1)}}));
  EXPECT_THAT(Refusal({path}, 8), HasSubstr("tuned state"));
}

TEST_F(AdapterTest, RefusesAFileNextToThatOfPissa) {
  const std::string folder = testing::MakeTempDirectory();
  const std::string path = folder + "/rwkv-0.pth";
  testing::WriteFileOrDie(path,
                          testing::PthBytes({{"blocks.1.att.key.lora_A", a_},
                                             {"blocks.1.att.key.lora_B", b_}}));
  EXPECT_TRUE(Merge({path}, 8).ok());
  testing::WriteFileOrDie(folder + "/init_pissa.pth", "");
  EXPECT_THAT(Refusal({path}, 8), HasSubstr("PiSSA"));
}

TEST_F(AdapterTest, RefusesAlphaThatNoAdapterNeeds) {
  EXPECT_THAT(Refusal({WritePeft("blocks.1.att.key")}, 8),
              HasSubstr("--adapter_alpha"));
}

TEST_F(AdapterTest, RefusesResultsThatAreNotFinite) {
  b_.values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Refusal({WritePeft("blocks.1.att.key")}),
              AllOf(HasSubstr(kKey), HasSubstr("element 4 is NaN")));
  b_.values[3] = 60000;
  base_[kKey].dtype = DType::kF16;
  EXPECT_THAT(Refusal({WritePeft("blocks.1.att.key")}),
              HasSubstr("too large for F16"));
}

TEST_F(AdapterTest, RefusesFoldersWithoutItsFiles) {
  const std::string folder = WritePeft("blocks.1.att.key");
  EXPECT_TRUE(Merge({folder + "/adapter_model.safetensors"}).ok());
  ASSERT_EQ(std::remove((folder + "/adapter_model.safetensors").c_str()), 0);
  EXPECT_THAT(Refusal({folder}), HasSubstr("adapter_model.safetensors or"));
  ASSERT_EQ(std::remove((folder + "/adapter_config.json").c_str()), 0);
  EXPECT_THAT(Refusal({folder}), HasSubstr("expected adapter_config.json"));
  EXPECT_EQ(Merge({folder + "/absent.pth"}, 8).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(AdapterTest, OpensTheSnapshotInTheCacheOfTheHub) {
  namespace fs = std::filesystem;
  const fs::path cached =
      fs::path(testing::MakeTempDirectory()) / "models--me--adapter";
  fs::create_directories(cached / "refs");
  fs::create_directories(cached / "snapshots");
  EXPECT_EQ(Merge({cached.string()}).status().code(),
            absl::StatusCode::kNotFound);
  fs::copy(WritePeft("blocks.1.att.key"), cached / "snapshots" / "abc",
           fs::copy_options::recursive);
  const auto merged = Merge({cached.string()});
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(ToFloat(*(*merged)->Find(kKey)), Expected(base_[kKey], 3));
}

TEST_F(AdapterTest, WithoutReplacedDropsOnlyReplacedTensors) {
  const auto merged = Merge({WritePeft("blocks.1.att.key")});
  ASSERT_TRUE(merged.ok()) << merged.status();
  const auto kept =
      TensorFile::WithoutReplaced(*merged, {kKey, "blocks.0.att.key.weight"});
  EXPECT_EQ(kept->Find(kKey), nullptr);
  EXPECT_NE(kept->Find("blocks.0.att.key.weight"), nullptr);
  EXPECT_EQ(kept->replaced_bytes(), 0);
}

TEST(AdapterPathTest, TheNameIsOptional) {
  const auto parse = [](absl::string_view text) {
    const auto where = ParseAdapterPath(text);
    return where.ok() ? absl::StrCat(where->name, " at ", where->path)
                      : std::string(where.status().message());
  };
  EXPECT_EQ(parse("chat=/a/b.pth"), "chat at /a/b.pth");
  EXPECT_EQ(parse("/a/b.pth"), "b at /a/b.pth");
  EXPECT_EQ(parse("/a/folder/"), "folder at /a/folder/");
  EXPECT_EQ(parse("./a=b.pth"), "a=b at ./a=b.pth");
  EXPECT_EQ(parse("x=y=z"), "x at y=z");
  EXPECT_THAT(parse("x="), HasSubstr("[NAME=]PATH"));
  EXPECT_THAT(parse(""), HasSubstr("[NAME=]PATH"));
}

}  // namespace
}  // namespace rwkvd
