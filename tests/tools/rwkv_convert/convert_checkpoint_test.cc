// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/convert_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/tensor_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/layout_writer.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"
#include "tests/tools/rwkv_convert/conversions.h"
#include "tools/rwkv_convert/output_directory.h"
#include "tools/rwkv_convert/shard_plan.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using testing::FilesIn;
using ::testing::HasSubstr;
using testing::RunConversion;

std::string ConversionError(const ConvertOptions& options) {
  const auto result = RunConversion(options);
  EXPECT_FALSE(result.ok());
  return std::string(result.status().message());
}

std::shared_ptr<const TensorFile> Open(const std::string& path) {
  auto file = TensorFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : nullptr;
}

class EveryFormatTest
    : public ::testing::TestWithParam<testing::VersionAndFormat> {
 protected:
  std::string WriteSource(DType dtype) {
    const auto [architecture, format] = GetParam();
    return WriteCheckpointAs(testing::MakeTempDirectory(),
                             testing::RandomCheckpoint(architecture, 1, dtype),
                             architecture, format);
  }

  // The expected bits of every tensor of the result, rounded by other code.
  void ExpectHolds(const TensorFile& written, const TensorFile& source,
                   TargetDType target) {
    ASSERT_EQ(written.tensors().size(), source.tensors().size());
    for (const auto& [name, tensor] : source.tensors()) {
      const Tensor* found = written.Find(name);
      ASSERT_NE(found, nullptr) << name;
      EXPECT_TRUE(found->is_row_major());
      EXPECT_EQ(testing::BytesOf(testing::CopyOf(*found)),
                testing::BytesOf(testing::Rounded(testing::CopyOf(tensor),
                                                  DTypeAfter(tensor, target))))
          << name;
      EXPECT_EQ(found->shape, tensor.shape) << name;
    }
  }

  const std::string directory_ = testing::MakeTempDirectory() + "/out";
};

TEST_P(EveryFormatTest, KeepsEveryBitInOneFile) {
  const std::string input = WriteSource(DType::kF32);
  const auto result =
      RunConversion({.input = input, .directory = directory_, .verify = true});
  ASSERT_TRUE(result.ok()) << result.status();
  const auto source = Open(input), written = Open(directory_);
  EXPECT_EQ(written->layout(), Layout::kNative);
  EXPECT_EQ(written->copied_bytes(), 0);
  EXPECT_EQ(written->Fingerprint(), source->Fingerprint());
  ExpectHolds(*written, *source, {});
  EXPECT_EQ(FilesIn(directory_), std::vector<std::string>{kSingleFile});
  EXPECT_EQ(result->num_files, 1);
  EXPECT_EQ(result->num_bytes, source->tensor_bytes());
  EXPECT_EQ(result->num_tensors,
            static_cast<int64_t>(written->tensors().size()));
  EXPECT_TRUE(result->verified);
}

TEST_P(EveryFormatTest, KeepsEveryBitInManyFiles) {
  const std::string input = WriteSource(DType::kBF16);
  constexpr int64_t kShardBytes = 40'000;
  const auto result = RunConversion({.input = input,
                                     .directory = directory_,
                                     .shard_bytes = kShardBytes,
                                     .verify = true});
  ASSERT_TRUE(result.ok()) << result.status();
  const auto source = Open(input), written = Open(directory_);
  EXPECT_EQ(written->Fingerprint(), source->Fingerprint());
  ExpectHolds(*written, *source, {});
  EXPECT_GT(result->num_files, 1);
  EXPECT_EQ(written->num_files(), result->num_files);
  EXPECT_EQ(static_cast<int64_t>(FilesIn(directory_).size()),
            result->num_files + 1);
  for (const std::string& name : FilesIn(directory_)) {
    if (name == kIndexFile) continue;
    const auto tensors =
        testing::ReadSafetensorsOrDie(absl::StrCat(directory_, "/", name));
    int64_t bytes = 0;
    for (const auto& [tensor_name, tensor] : tensors) {
      bytes += static_cast<int64_t>(BytesOf(tensor).size());
    }
    EXPECT_TRUE(bytes <= kShardBytes || tensors.size() == 1) << name;
  }
}

TEST_P(EveryFormatTest, RoundsToOtherTypes) {
  const std::string input = WriteSource(DType::kF32);
  const auto source = Open(input);
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::string directory = absl::StrCat(directory_, NameOf(dtype));
    const auto result = RunConversion({.input = input,
                                       .directory = directory,
                                       .target = {{dtype}},
                                       .verify = true});
    ASSERT_TRUE(result.ok()) << result.status();
    ExpectHolds(*Open(directory), *source, {dtype});
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormatTest,
                         ::testing::ValuesIn(testing::AllVersionsAndFormats()),
                         [](const auto& info) {
                           return testing::TestName(info.param);
                         });

class ConvertCheckpointTest : public ::testing::Test {
 protected:
  // Writes an RWKV-4 model as one .pth file.
  std::string WritePth(const testing::TestTensors& tensors) {
    testing::WriteFileOrDie(folder_ + "/model.pth", testing::PthBytes(tensors));
    return folder_ + "/model.pth";
  }

  const std::string folder_ = testing::MakeTempDirectory();
  const std::string parent_ = testing::MakeTempDirectory();
  const std::string directory_ = parent_ + "/new/out";
  testing::TestTensors tensors_ = testing::RandomRwkv4({}, 1);
};

TEST_F(ConvertCheckpointTest, AlignsTensorsInTheFile) {
  tensors_ = testing::RandomRwkv4(
      {.embedding = 33, .attention = 33, .ffn = 65, .vocab = 7}, 1,
      [](const std::string& name) {
        return absl::StrContains(name, "time") ? DType::kF32 : DType::kBF16;
      });
  tensors_["blocks.0.att.wide"] = {.shape = {64, 2},
                                   .dtype = DType::kBF16,
                                   .values = std::vector<float>(128, 1)};
  ASSERT_TRUE(
      RunConversion({.input = WritePth(tensors_), .directory = directory_})
          .ok());
  const auto file = MappedFile::Open(directory_ + "/model.safetensors");
  ASSERT_TRUE(file.ok());
  const auto tensors = ParseSafetensors(**file);
  ASSERT_TRUE(tensors.ok());
  for (const Tensor& tensor : *tensors) {
    const size_t at = tensor.data.data() - (*file)->bytes().data();
    EXPECT_EQ(at % SizeOf(tensor.dtype), 0u) << tensor.name;
    const bool is_matrix = tensor.num_bytes() % 64 == 0;
    EXPECT_EQ(is_matrix ? at % 64 : 0, 0u) << tensor.name;
  }
}

TEST_F(ConvertCheckpointTest, CopiesTheTokenizerAndTheChatTemplate) {
  testing::WriteFileOrDie(folder_ + "/rwkv_vocab_v1.txt", "1 'a' 1\n");
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer_config.json"}) {
    testing::WriteFileOrDie(folder_ + "/" + name, "{}");
  }
  testing::WriteFileOrDie(folder_ + "/chat_template.jinja", "{{ a }}");
  const auto result =
      RunConversion({.input = WritePth(tensors_), .directory = directory_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->lacks_tokenizer);
  EXPECT_THAT(FilesIn(directory_),
              ElementsAre("chat_template.jinja", kSingleFile,
                          "rwkv_vocab_v1.txt", "tokenizer_config.json"));
  EXPECT_EQ(testing::ReadFileOrDie(directory_ + "/chat_template.jinja"),
            "{{ a }}");
}

// A template alone is no tokenizer.
TEST_F(ConvertCheckpointTest, MissingTokenizerIsReportedNextToATemplate) {
  testing::WriteFileOrDie(folder_ + "/chat_template.jinja", "{{ a }}");
  const auto result =
      RunConversion({.input = WritePth(tensors_), .directory = directory_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->lacks_tokenizer);
}

TEST_F(ConvertCheckpointTest,
       ReportsAMissingTokenizerUnlessTheVocabularyIsKnown) {
  const auto lacks = [&](int64_t vocab) {
    tensors_ = testing::RandomRwkv4({.vocab = vocab}, 1);
    const auto result = RunConversion(
        {.input = WritePth(tensors_), .directory = directory_, .force = true});
    EXPECT_TRUE(result.ok());
    return result.ok() && result->lacks_tokenizer;
  };
  EXPECT_TRUE(lacks(64));
  EXPECT_FALSE(lacks(256));
  EXPECT_FALSE(lacks(65536));
}

TEST_F(ConvertCheckpointTest, WritesATiedHeadTwice) {
  testing::TestTensors tied =
      testing::ToHuggingFace(tensors_, Architecture::kRwkv4);
  tied.erase("head.weight");
  testing::WriteCheckpoint(folder_, tied);
  testing::WriteFileOrDie(folder_ + "/config.json",
                          R"({"tie_word_embeddings": true})");
  const auto result = RunConversion(
      {.input = folder_, .directory = directory_, .verify = true});
  ASSERT_TRUE(result.ok()) << result.status();
  const auto written = Open(directory_);
  ASSERT_NE(written->Find("head.weight"), nullptr);
  EXPECT_EQ(ToFloat(*written->Find("head.weight")),
            tensors_["emb.weight"].values);
}

TEST_F(ConvertCheckpointTest, WritesConfigOfAModelWithoutEmbeddingNorm) {
  testing::TestTensors fla = testing::ToFla(
      testing::RandomCheckpoint(Architecture::kRwkv7, 1), Architecture::kRwkv7);
  ASSERT_EQ(fla.erase("model.layers.0.pre_norm.weight"), 1u);
  fla.erase("model.layers.0.pre_norm.bias");
  testing::WriteCheckpoint(folder_, fla);
  testing::WriteFileOrDie(folder_ + "/config.json", R"({"norm_first": false})");
  const ConvertOptions options = {
      .input = folder_, .directory = directory_, .verify = true};
  const auto result = RunConversion(options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(FilesIn(directory_), ElementsAre(kConfigFile, kSingleFile));
  const auto written = Open(directory_);
  EXPECT_FALSE(written->has_embedding_norm());
  EXPECT_EQ(written->layout(), Layout::kNative);
  // The result can be replaced, and converted again.
  ConvertOptions again = options;
  again.force = true;
  EXPECT_TRUE(RunConversion(again).ok());
  again = options;
  again.input = directory_;
  again.directory = parent_ + "/second";
  EXPECT_TRUE(RunConversion(again).ok());
  EXPECT_FALSE(Open(again.directory)->has_embedding_norm());
}

TEST_F(ConvertCheckpointTest, ModelsWithoutAndWithEmbeddingNormDoNotMix) {
  const std::string input = WritePth(tensors_);
  ASSERT_TRUE(RunConversion({.input = input, .directory = directory_}).ok());
  testing::TestTensors fused =
      testing::RandomCheckpoint(Architecture::kRwkv7, 1);
  fused.erase("blocks.0.ln0.weight");
  fused.erase("blocks.0.ln0.bias");
  const std::string folder = parent_ + "/fused";
  fs::create_directory(folder);
  testing::WriteCheckpoint(folder, fused);
  testing::WriteFileOrDie(folder + "/config.json", kFusedNormConfig);
  const std::string other = parent_ + "/other";
  ASSERT_TRUE(RunConversion({.input = folder, .directory = other}).ok());
  EXPECT_THAT(ConversionError(
                  {.input = folder, .directory = directory_, .force = true}),
              HasSubstr("the result needs a config.json of its own"));
  EXPECT_THAT(FilesIn(directory_), ElementsAre(kSingleFile));
  EXPECT_THAT(
      ConversionError({.input = input, .directory = other, .force = true}),
      HasSubstr("config.json describes another model"));
}

TEST_F(ConvertCheckpointTest, NamesAWeightThatIsTooLargeForItsType) {
  tensors_["blocks.1.ffn.key.weight"].values[1000] = -7e4f;
  const std::string input = WritePth(tensors_);
  const std::string message = ConversionError(
      {.input = input, .directory = directory_, .target = {{DType::kF16}}});
  EXPECT_EQ(message, absl::StrCat(input,
                                  ": tensor \"blocks.1.ffn.key.weight\": "
                                  "element 1000 is beyond 65504, the largest "
                                  "F16; use another --dtype"));
  EXPECT_FALSE(fs::exists(directory_));
  EXPECT_TRUE(RunConversion({.input = input,
                             .directory = directory_,
                             .target = {{DType::kBF16}},
                             .verify = true})
                  .ok());
}

TEST_F(ConvertCheckpointTest, RefusesAnInputWithoutTensors) {
  testing::WriteCheckpoint(folder_, {});
  EXPECT_THAT(ConversionError({.input = folder_, .directory = directory_}),
              HasSubstr("expected tensors, got none"));
}

TEST_F(ConvertCheckpointTest, ConvertsAFileOfTunedStates) {
  testing::TestTensors states = testing::RandomTimeState(2, 4, 16, 1);
  const auto result = RunConversion({.input = WritePth(states),
                                     .directory = directory_,
                                     .target = {{DType::kF16}},
                                     .verify = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->lacks_tokenizer);
  EXPECT_EQ(Open(directory_)->Find("blocks.0.att.time_state")->dtype,
            DType::kF32);
}

TEST_F(ConvertCheckpointTest, NeverOverwritesTheInput) {
  const std::string one = testing::WriteCheckpoint(folder_, tensors_);
  for (const std::string& input : {one, folder_}) {
    EXPECT_THAT(
        ConversionError({.input = input, .directory = folder_, .force = true}),
        HasSubstr("would overwrite the input, model.safetensors"));
  }
  fs::create_directory_symlink(folder_, parent_ + "/link");
  EXPECT_THAT(
      ConversionError(
          {.input = one, .directory = parent_ + "/link", .force = true}),
      HasSubstr("would overwrite the input"));

  // Shards with the names of an older result.
  ASSERT_TRUE(RunConversion(
                  {.input = one, .directory = directory_, .shard_bytes = 9999})
                  .ok());
  const std::string index = directory_ + "/old.index.json";
  fs::rename(directory_ + "/" + kIndexFile, index);
  const auto files = FilesIn(directory_);
  EXPECT_THAT(ConversionError({.input = index,
                               .directory = directory_ + "/../out/",
                               .force = true}),
              HasSubstr("would overwrite the input, model-000"));
  EXPECT_EQ(FilesIn(directory_), files);
}

TEST_F(ConvertCheckpointTest, InputAndResultMayShareAFolder) {
  const std::string input = WritePth(tensors_);
  EXPECT_THAT(ConversionError({.input = input, .directory = folder_}),
              HasSubstr("already holds a checkpoint"));
  ASSERT_TRUE(
      RunConversion({.input = input, .directory = folder_, .force = true})
          .ok());
  EXPECT_THAT(FilesIn(folder_),
              ::testing::ElementsAre("model.pth", kSingleFile));
  EXPECT_EQ(Open(folder_)->Fingerprint(), Open(input)->Fingerprint());
}

TEST_F(ConvertCheckpointTest, ReplacesAnOldResultOfAnyOtherSharding) {
  for (int64_t shard_bytes : {10'000, 1'000'000, 10'000, 10'000, 1'000'000,
                              1'000'000, 50'000, 10'000}) {
    tensors_["ln_out.bias"].values[0] += 1;
    const std::string input = WritePth(tensors_);
    const auto result = RunConversion({.input = input,
                                       .directory = directory_,
                                       .shard_bytes = shard_bytes,
                                       .force = true});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(Open(directory_)->Fingerprint(), Open(input)->Fingerprint());
    EXPECT_EQ(static_cast<int64_t>(FilesIn(directory_).size()),
              result->num_files + (result->num_files > 1 ? 1 : 0));
  }
}

TEST_F(ConvertCheckpointTest, NoFileAppearsBeforeTheEnd) {
  const std::string input = WritePth(tensors_);
  bool verifying = false;
  const auto result = ConvertCheckpoint(
      {.input = input, .directory = directory_, .verify = true},
      [&](absl::string_view doing, int64_t, int64_t) {
        verifying |= doing == "verifying";
        if (doing == "checking") {  // the input, before anything is written
          EXPECT_FALSE(fs::exists(directory_));
          return absl::OkStatus();
        }
        EXPECT_EQ(FilesIn(directory_),
                  std::vector<std::string>{"rwkv-convert.tmp"});
        return absl::OkStatus();
      });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(verifying);
}

TEST_F(ConvertCheckpointTest, InterruptionLeavesNothing) {
  const std::string input = WritePth(tensors_);
  for (absl::string_view when : {"writing", "verifying"}) {
    const auto result = ConvertCheckpoint(
        {.input = input, .directory = directory_, .verify = true},
        [&](absl::string_view doing, int64_t done, int64_t all) {
          return doing == when && done > all / 2
                     ? absl::CancelledError("interrupted")
                     : absl::OkStatus();
        });
    EXPECT_TRUE(absl::IsCancelled(result.status()));
    EXPECT_FALSE(fs::exists(directory_));
  }
}

TEST_F(ConvertCheckpointTest, VerificationFindsADamagedDraft) {
  const std::string input = WritePth(tensors_);
  bool spoiled = false;
  const auto result = ConvertCheckpoint(
      {.input = input, .directory = directory_, .verify = true},
      [&](absl::string_view doing, int64_t done, int64_t all) {
        if (doing == "writing" && done == all && !spoiled) {
          // The data begins at a multiple of 64, with the embedding.
          const std::string draft =
              directory_ + "/rwkv-convert.tmp/model.safetensors";
          std::string bytes = testing::ReadFileOrDie(draft);
          bytes[bytes.size() - all + 4 * 5] ^= 1;
          testing::WriteFileOrDie(draft, bytes);
          spoiled = true;
        }
        return absl::OkStatus();
      });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("tensor \"emb.weight\", element 5: expected"));
  EXPECT_FALSE(fs::exists(directory_));
}

TEST_F(ConvertCheckpointTest, WritesTheIndexLast) {
  const std::string old = WritePth(tensors_);
  ASSERT_TRUE(
      RunConversion(
          {.input = old, .directory = directory_, .shard_bytes = 40'000})
          .ok());
  const std::string fingerprint = Open(directory_)->Fingerprint();
  tensors_["ln_out.bias"].values[0] += 1;
  const auto result = ConvertCheckpoint(
      {.input = WritePth(tensors_),
       .directory = directory_,
       .shard_bytes = 40'000,
       .verify = true,
       .force = true},
      [&](absl::string_view doing, int64_t done, int64_t all) {
        // One of the shards cannot be renamed.
        if (doing == "verifying" && done == all) {
          for (const std::string& name :
               FilesIn(directory_ + "/rwkv-convert.tmp")) {
            if (absl::StrContains(name, "-00002-of-")) {
              fs::remove(directory_ + "/rwkv-convert.tmp/" + name);
            }
          }
        }
        return absl::OkStatus();
      });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  const auto left = Open(directory_);
  ASSERT_NE(left, nullptr);
  EXPECT_EQ(left->Fingerprint(), fingerprint);
}

}  // namespace
}  // namespace rwkvd
