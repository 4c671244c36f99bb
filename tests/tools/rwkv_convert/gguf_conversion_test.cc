// SPDX-License-Identifier: Apache-2.0
// Converts GGUF files, with the quantized matrices as stored, widened, and
// quantized once more.

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/gguf_writer.h"
#include "tests/tools/rwkv_convert/conversions.h"
#include "tools/rwkv_convert/convert_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kQ8_0 = 8;

absl::StatusOr<Converted> ConvertGguf(const std::string& input,
                                      const std::string& directory,
                                      Target target) {
  return testing::RunConversion({.input = input,
                                 .directory = directory,
                                 .target = target,
                                 .threads = 2,
                                 .shard_bytes = 1 << 30,
                                 .verify = true});
}

// `rows` rows of 32 elements, with scales of 0.5 and rising quants.
std::string Q8Rows(int rows) {
  std::string bytes;
  for (int row = 0; row < rows; ++row) {
    bytes += std::string("\x00\x38", 2);
    for (int i = 0; i < 32; ++i) bytes += static_cast<char>(3 * i + row);
  }
  return bytes;
}

// A part of a model of version 6, whose second layer is divided by 2.
std::string WriteSmallFile() {
  testing::GgufWriter writer;
  writer.Text("general.architecture", "rwkv6")
      .U32("rwkv6.wkv.head_size", 2)
      .U32("rwkv6.rescale_every_n_layers", 1)
      .Text("tokenizer.ggml.model", "rwkv")
      .Texts("tokenizer.ggml.tokens", {"<s>", "\\x00", "it's", "[PAD3]"})
      .I32s("tokenizer.ggml.token_type", {3, 1, 1, 5})
      .Text("tokenizer.chat_template", "{{ bos_token }}");
  writer.Tensor("output.weight", {32, 2}, kQ8_0, Q8Rows(2));
  writer.Tensor("blk.0.time_mix_decay_w1.weight", {32, 3}, kQ8_0, Q8Rows(3));
  writer.Tensor("blk.1.channel_mix_value.weight", {32, 2}, kQ8_0, Q8Rows(2));
  writer.Floats("output_norm.weight", {2}, {1, .1f});
  const std::string path = testing::MakeTempDirectory() + "/small.gguf";
  testing::WriteFileOrDie(path, writer.Bytes());
  return path;
}

void ExpectSameElements(const TensorFile& a, const TensorFile& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const auto& [name, tensor] : a.tensors()) {
    const Tensor* const other = b.Find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_EQ(tensor.shape, other->shape) << name;
    EXPECT_EQ(ToFloat(tensor), ToFloat(*other)) << name;
  }
}

TEST(GgufConversionTest, BlocksAreKeptAsStored) {
  const std::string input = WriteSmallFile();
  const std::string output = testing::MakeTempDirectory();
  const auto converted = ConvertGguf(input, output, {});
  ASSERT_TRUE(converted.ok()) << converted.status();
  const auto source = TensorFile::Open(input);
  const auto written = TensorFile::Open(output);
  ASSERT_TRUE(source.ok() && written.ok()) << written.status();
  EXPECT_EQ((*written)->layout(), Layout::kNative);
  ExpectSameElements(**source, **written);
  EXPECT_EQ((*written)->Find("head.weight")->dtype, DType::kQ8_0);
  EXPECT_EQ((*written)->Find("head.weight")->num_bytes(), 2 * 34);
  const Tensor& low_rank = *(*written)->Find("blocks.0.att.time_decay_w1");
  EXPECT_EQ(low_rank.dtype, DType::kQ8_0);
  EXPECT_FALSE(low_rank.is_row_major());
}

TEST(GgufConversionTest, BlocksAreWidenedToNumbers) {
  const std::string input = WriteSmallFile();
  const auto source = TensorFile::Open(input);
  ASSERT_TRUE(source.ok()) << source.status();
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const std::string output = testing::MakeTempDirectory();
    const auto converted = ConvertGguf(input, output, {.dtype = {dtype}});
    ASSERT_TRUE(converted.ok()) << converted.status();
    const auto written = TensorFile::Open(output);
    ASSERT_TRUE(written.ok()) << written.status();
    const Tensor& head = *(*written)->Find("head.weight");
    EXPECT_EQ(head.dtype, dtype);
    EXPECT_EQ(ToFloat(head), ToFloat(*(*source)->Find("head.weight")));
    if (dtype == DType::kF32) ExpectSameElements(**source, **written);
  }
}

TEST(GgufConversionTest, TokenizerAndChatTemplateBecomeFiles) {
  const std::string output = testing::MakeTempDirectory();
  const auto converted = ConvertGguf(WriteSmallFile(), output, {});
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_FALSE(converted->lacks_tokenizer);
  EXPECT_EQ(testing::ReadFileOrDie(output + "/rwkv_vocab.txt"),
            "1 b'\\x00' 1\n2 b'it\\'s' 4\n");
  EXPECT_EQ(testing::ReadFileOrDie(output + "/chat_template.jinja"),
            "{{ bos_token }}");
}

// Writes a file with the tokens of all bytes, and unused ones up to `num_ids`.
std::string WriteVocabularyFile(int num_ids) {
  std::vector<std::string> tokens = {"<s>"};
  std::vector<int32_t> types = {3};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(absl::StrFormat("\\x%02x", byte));
    types.push_back(1);
  }
  while (static_cast<int>(tokens.size()) < num_ids) {
    tokens.push_back(absl::StrCat("[PAD", tokens.size(), "]"));
    types.push_back(5);
  }
  testing::GgufWriter writer;
  writer.Text("general.architecture", "rwkv7")
      .U32("rwkv7.wkv.head_size", 2)
      .Text("tokenizer.ggml.model", "rwkv")
      .Texts("tokenizer.ggml.tokens", tokens)
      .I32s("tokenizer.ggml.token_type", types)
      .Floats("output_norm.weight", {2}, {1, 1});
  const std::string path = testing::MakeTempDirectory() + "/vocabulary.gguf";
  testing::WriteFileOrDie(path, writer.Bytes());
  return path;
}

TEST(GgufConversionTest, TokenizerWithManyUnusedIdsStillFitsTheModel) {
  for (const int num_ids : {512, 513, 65536}) {
    const std::string input = WriteVocabularyFile(num_ids);
    const std::string output = testing::MakeTempDirectory();
    const auto converted = ConvertGguf(input, output, {});
    ASSERT_TRUE(converted.ok()) << converted.status();
    const std::string path = output + "/rwkv_vocab.txt";
    // Up to 512 ids, the model's may be those of training.
    const std::string last = absl::StrCat(num_ids - 1, " b'' 0\n");
    EXPECT_EQ(absl::EndsWith(testing::ReadFileOrDie(path), last),
              num_ids > 512);
    const auto tokenizer = LoadTokenizer(path);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_EQ((*tokenizer)->size(), 257);
    EXPECT_TRUE(CheckFit(**tokenizer, num_ids).ok());
  }
}

TEST(GgufConversionTest, ScalesThatOverflowAreErrors) {
  testing::GgufWriter writer;
  writer.Text("general.architecture", "rwkv6")
      .U32("rwkv6.wkv.head_size", 2)
      .U32("rwkv6.rescale_every_n_layers", 1);
  std::string large = Q8Rows(1);
  large[1] = '\x78';  // 2^15
  writer.Tensor("blk.1.channel_mix_value.weight", {32, 1}, kQ8_0, large);
  const std::string path = testing::MakeTempDirectory() + "/large.gguf";
  testing::WriteFileOrDie(path, writer.Bytes());
  const auto kept = ConvertGguf(path, testing::MakeTempDirectory(), {});
  EXPECT_THAT(std::string(kept.status().message()),
              HasSubstr("a scale of block 0 times 2 is too large"));
  EXPECT_TRUE(
      ConvertGguf(path, testing::MakeTempDirectory(), {.dtype = {DType::kF32}})
          .ok());
}

std::vector<float> GgufLogits(const std::string& path) {
  return testing::LogitsOf(path, {1, 52, 7, 300, 31, 0, 12});
}

TEST(GgufConversionTest, ModelsAsStoredGiveBitIdenticalLogits) {
  RWKVD_NEED_FORMAT_FIXTURES();
  for (const char* name :
       {"v7.Q8_0-by-converter", "v7odd.Q4_K_M", "v6.Q3_K_M", "v6r.Q8_0"}) {
    const std::string input = absl::StrCat(testing::FormatFixturesDirectory(),
                                           "/gguf/models/", name, ".gguf");
    const std::string output = testing::MakeTempDirectory();
    const auto converted = ConvertGguf(input, output, {});
    ASSERT_TRUE(converted.ok()) << converted.status();
    EXPECT_EQ(GgufLogits(output), GgufLogits(input)) << name;
  }
}

TEST(GgufConversionTest, ModelsAreQuantizedOnceMore) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const std::string input =
      testing::FormatFixturesDirectory() + "/gguf/models/v7.Q6_K.gguf";
  const std::string output = testing::MakeTempDirectory();
  const auto converted =
      ConvertGguf(input, output, {.weights = WeightKind::kInt8});
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_FALSE(GgufLogits(output).empty());
}

}  // namespace
}  // namespace rwkvd
