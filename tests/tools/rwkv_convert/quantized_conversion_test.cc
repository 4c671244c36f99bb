// SPDX-License-Identifier: Apache-2.0
// Tests that checkpoints of any format that rwkv-convert quantizes give the
// logits of the original quantized while loading.

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"
#include "tests/tools/rwkv_convert/conversions.h"
#include "tools/rwkv_convert/convert_checkpoint.h"
#include "tools/rwkv_convert/shard_plan.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using testing::TestTensors;

constexpr WeightKind kKinds[] = {WeightKind::kInt8, WeightKind::kInt8Mixed,
                                 WeightKind::kInt4, WeightKind::kInt4Mixed};
constexpr int64_t kVocab = 70;

TestTensors MakeTensors(Architecture architecture, DType dtype) {
  return testing::RandomCheckpoint(
      architecture,
      {.rwkv4 = {.layers = 2,
                 .embedding = 128,
                 .attention = 64,
                 .ffn = 320,
                 .vocab = kVocab},
       .rwkv5 = {.heads = 2, .head_size = 32, .ffn = 192, .vocab = kVocab},
       .rwkv6 = {.heads = 2, .head_size = 32, .ffn = 192, .vocab = kVocab},
       .rwkv7 = {.heads = 2, .head_size = 32, .ffn = 192, .vocab = kVocab}},
      1, dtype);
}

// The logits after each token of a text, of the model at `path`.
std::vector<float> Logits(const std::string& path, WeightKind kind) {
  return testing::LogitsOf(path, {1, 52, 7, 7, 31, 0, 12, 40, 3, 19, 69}, kind);
}

class QuantizedConversionTest
    : public ::testing::TestWithParam<testing::VersionAndFormat> {};

TEST_P(QuantizedConversionTest, LogitsEqualThoseOfQuantizingWhileLoading) {
  const auto [architecture, format] = GetParam();
  const std::string input = WriteCheckpointAs(
      testing::MakeTempDirectory(), MakeTensors(architecture, DType::kF16),
      architecture, format);
  for (const WeightKind kind : kKinds) {
    const std::vector<float> expected = Logits(input, kind);
    for (const int64_t shard_bytes : {int64_t{1} << 30, int64_t{20'000}}) {
      const std::string output = testing::MakeTempDirectory() + "/out";
      const auto result = testing::RunConversion({.input = input,
                                                  .directory = output,
                                                  .target = {.weights = kind},
                                                  .threads = 2,
                                                  .shard_bytes = shard_bytes,
                                                  .verify = true});
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_TRUE(result->verified);
      EXPECT_EQ(result->num_files > 1, shard_bytes == 20'000);
      EXPECT_EQ(Logits(output, WeightKind::kAsStored), expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedConversionTest,
                         ::testing::ValuesIn(testing::AllVersionsAndFormats()),
                         [](const auto& info) {
                           return testing::TestName(info.param);
                         });

class QuantizedRwkv4Test : public ::testing::Test {
 protected:
  std::string Output() const { return testing::MakeTempDirectory() + "/out"; }
  std::string Convert(ConvertOptions options) {
    options.directory = Output();
    const auto result = testing::RunConversion(options);
    EXPECT_TRUE(result.ok()) << result.status();
    return options.directory;
  }
  static std::string Bytes(const std::string& directory) {
    return testing::ReadFileOrDie(directory + "/" + kSingleFile);
  }

  TestTensors tensors_ = MakeTensors(Architecture::kRwkv4, DType::kF32);
  const std::string input_ =
      testing::WriteCheckpoint(testing::MakeTempDirectory(), tensors_);
};

TEST_F(QuantizedRwkv4Test, FileDoesNotDependOnThreads) {
  for (const WeightKind kind : kKinds) {
    const auto with = [&](int threads) {
      return Bytes(Convert(
          {.input = input_, .target = {.weights = kind}, .threads = threads}));
    };
    EXPECT_EQ(with(1), with(3));
  }
}

TEST_F(QuantizedRwkv4Test, OtherWeightsCanHaveAnotherType) {
  const std::string output =
      Convert({.input = input_,
               .target = {{DType::kBF16}, WeightKind::kInt8},
               .verify = true});
  const auto file = *TensorFile::Open(output);
  EXPECT_EQ(file->Find("emb.weight")->dtype, DType::kBF16);
  EXPECT_EQ(file->Find("blocks.0.att.time_decay")->dtype, DType::kF32);
  EXPECT_EQ(file->Find("head.weight.int8.rows")->dtype, DType::kU8);
}

TEST_F(QuantizedRwkv4Test, CopiesAQuantizedFileButDoesNotQuantizeItAgain) {
  const std::string first =
      Convert({.input = input_, .target = {.weights = WeightKind::kInt4}});
  const std::string second =
      Convert({.input = first, .target = {{DType::kBF16}}, .verify = true});
  const auto a = *TensorFile::Open(first), b = *TensorFile::Open(second);
  const char name[] = "blocks.1.ffn.value.weight.int4.columns";
  EXPECT_EQ(a->Find(name)->data, b->Find(name)->data);
  const auto refused =
      testing::RunConversion({.input = first,
                              .directory = Output(),
                              .target = {.weights = WeightKind::kInt4}});
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("quantized already"));
}

TEST_F(QuantizedRwkv4Test, RefusesAWeightThatIsNotFinite) {
  tensors_["blocks.1.ffn.key.weight"].values[77] = NAN;
  const auto refused =
      testing::RunConversion({.input = testing::WriteCheckpoint(
                                  testing::MakeTempDirectory(), tensors_),
                              .directory = Output(),
                              .target = {.weights = WeightKind::kInt8}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("tensor \"blocks.1.ffn.key.weight\": cannot be "
                        "quantized"));
}

TEST_F(QuantizedRwkv4Test, RefusesAWeightThatIsNotFiniteWithoutQuantization) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    tensors_["blocks.1.ln1.bias"].values[3] = INFINITY;
    const auto refused =
        testing::RunConversion({.input = testing::WriteCheckpoint(
                                    testing::MakeTempDirectory(), tensors_),
                                .directory = Output(),
                                .target = {.dtype = {dtype}}});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr("tensor \"blocks.1.ln1.bias\": layer 1, element 3 "
                          "is inf"));
  }
}

// rwkvd refuses a file whose matrices are not aligned to cache lines.
// Converting the file again fixes it.
TEST_F(QuantizedRwkv4Test, ConvertingAgainRestoresAlignment) {
  const std::string output =
      Convert({.input = input_, .target = {.weights = WeightKind::kInt8}});
  const std::string moved = testing::MakeTempDirectory();
  testing::WriteCheckpoint(
      moved,
      testing::ReadSafetensorsOrDie(absl::StrCat(output, "/", kSingleFile)), 0,
      1);
  EXPECT_FALSE(LoadModel(*TensorFile::Open(moved)).ok());
  const std::string again = Convert({.input = moved, .verify = true});
  EXPECT_EQ(Logits(again, WeightKind::kAsStored),
            Logits(output, WeightKind::kAsStored));
}

}  // namespace
}  // namespace rwkvd
