// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor_file.h"

#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/process_memory.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

testing::TestTensors SomeTensors() {
  testing::TestTensors tensors;
  for (int i = 0; i < 7; ++i) {
    tensors[absl::StrCat("t", i)] = {
        .shape = {2, 2}, .values = {float(i), float(i) + 1, -1, .5f}};
  }
  return tensors;
}

void ExpectHolds(const TensorFile& file, const testing::TestTensors& tensors) {
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const auto& [name, written] : tensors) {
    const Tensor* tensor = file.Find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, written.shape);
    EXPECT_EQ(ToFloat(*tensor), written.values);
  }
}

std::string OpenError(const std::string& path) {
  const auto file = TensorFile::Open(path);
  EXPECT_FALSE(file.ok());
  return std::string(file.status().message());
}

class TensorFileTest : public ::testing::Test {
 protected:
  const std::string directory_ = testing::MakeTempDirectory();
  const testing::TestTensors tensors_ = SomeTensors();
};

TEST_F(TensorFileTest, OpensAFileByPathAndByDirectory) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_);
  for (const std::string& named : {path, directory_, directory_ + "/"}) {
    const auto file = TensorFile::Open(named);
    ASSERT_TRUE(file.ok()) << file.status();
    ExpectHolds(**file, tensors_);
    EXPECT_EQ((*file)->num_files(), 1);
    EXPECT_EQ((*file)->tensor_bytes(), 7 * 16);
    EXPECT_TRUE(std::filesystem::equivalent((*file)->directory(), directory_));
  }
}

TEST_F(TensorFileTest, OpensShardsByIndexAndByDirectory) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 3);
  for (const std::string& named : {path, directory_}) {
    const auto file = TensorFile::Open(named);
    ASSERT_TRUE(file.ok()) << file.status();
    ExpectHolds(**file, tensors_);
    EXPECT_EQ((*file)->num_files(), 3);
  }
}

// What a downloaded release, and the systems it passed through, leave there.
TEST_F(TensorFileTest, OtherFilesOfAReleaseAreIgnored) {
  testing::WriteCheckpoint(directory_, tensors_, 3);
  for (const char* folder : {"/inference", "/.cache", "/__MACOSX"}) {
    std::filesystem::create_directory(directory_ + folder);
  }
  for (const char* name :
       {"README.md", "LICENSE", "NOTICE", ".gitattributes", ".DS_Store",
        "configuration_rwkv7.py", "inference/rwkv.py", "generation_config.json",
        "release-manifest.json", "tokenizer_config.json", "chat_template.jinja",
        "._model-1-of-3.safetensors", "._model.safetensors.index.json",
        "._config.json", ".cache/model.safetensors",
        "__MACOSX/._model-1-of-3.safetensors"}) {
    testing::WriteFileOrDie(directory_ + "/" + name, "x");
  }
  testing::WriteFileOrDie(directory_ + "/config.json",
                          R"({"model_type": "rwkv7", "vocab_size": 2})");
  const auto file = TensorFile::Open(directory_);
  ASSERT_TRUE(file.ok()) << file.status();
  ExpectHolds(**file, tensors_);
  EXPECT_EQ((*file)->num_files(), 3);
}

TEST_F(TensorFileTest, FingerprintDependsOnlyOnTheWeights) {
  const auto fingerprint = [&](const testing::TestTensors& tensors,
                               int shards) {
    return testing::MakeTensorFile(tensors, shards)->Fingerprint();
  };
  EXPECT_EQ(fingerprint(tensors_, 0), fingerprint(tensors_, 3));
  EXPECT_EQ(fingerprint(tensors_, 0).size(), 64u);
  auto renamed = tensors_;
  renamed["t9"] = renamed["t6"];
  renamed.erase("t6");
  EXPECT_NE(fingerprint(renamed, 0), fingerprint(tensors_, 0));
  auto changed = tensors_;
  changed["t3"].values[2] = -1.5f;
  EXPECT_NE(fingerprint(changed, 0), fingerprint(tensors_, 0));
  auto reshaped = tensors_;
  reshaped["t3"].shape = {4, 1};
  EXPECT_NE(fingerprint(reshaped, 0), fingerprint(tensors_, 0));
}

TEST_F(TensorFileTest, PreloadReportsAllBytes) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 3);
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  }
  std::vector<int64_t> done;
  (*TensorFile::Open(path))->Preload([&](int64_t now, int64_t all) {
    EXPECT_EQ(all, bytes);
    done.push_back(now);
  });
  ASSERT_EQ(done.size(), 3u);
  EXPECT_THAT(done, ::testing::WhenSorted(::testing::ElementsAreArray(done)));
  EXPECT_GT(done[0], 0);
  EXPECT_EQ(done[2], bytes);
}

TEST_F(TensorFileTest, PreloadReadsAllPages) {
  constexpr int64_t kBytes = 80 << 20;
  const std::string path = directory_ + "/large.safetensors";
  std::string bytes =
      testing::SafetensorsBytes({{"w", {.shape = {1}, .values = {1}}}});
  absl::StrReplaceAll({{"[1]", absl::StrCat("[", kBytes / 4, "]")},
                       {"4]", absl::StrCat(kBytes, "]")}},
                      &bytes);
  const size_t header = bytes.size() - 4 - 8;
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header >> (8 * i));
  testing::WriteFileOrDie(path, bytes);
  std::filesystem::resize_file(path, 8 + header + kBytes);

  const int64_t before = testing::ResidentFileBytes();
  const auto file = TensorFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_LT(testing::ResidentFileBytes() - before, 2 << 20);
  int reports = 0;
  (*file)->Preload([&](int64_t, int64_t) { ++reports; });
  EXPECT_GT(testing::ResidentFileBytes() - before, kBytes - (2 << 20));
  EXPECT_GT(reports, 1);
}

testing::TestTensors TensorsWithPrefix(const testing::TestTensors& tensors,
                                       const std::string& prefix) {
  testing::TestTensors renamed;
  for (const auto& [name, tensor] : tensors) renamed[prefix + name] = tensor;
  return renamed;
}

TEST_F(TensorFileTest, PrefixesOfTrainingFrameworksAreRemoved) {
  for (const std::string prefix :
       {"module.", "_forward_module.", "_orig_mod.", "module.module.",
        "_forward_module._orig_mod."}) {
    ExpectHolds(*testing::MakeTensorFile(TensorsWithPrefix(tensors_, prefix)),
                tensors_);
  }
}

TEST_F(TensorFileTest, OtherPrefixesAreKept) {
  const auto renamed = TensorsWithPrefix(tensors_, "modules.");
  ExpectHolds(*testing::MakeTensorFile(renamed), renamed);
}

TEST_F(TensorFileTest, ShardsWithoutAnIndexAreAssembled) {
  std::filesystem::remove(
      testing::WriteCheckpoint(directory_, tensors_, 3));  // the index
  testing::WriteFileOrDie(directory_ + "/config.json",
                          "{\"tie_word_embeddings\": 1}");
  // Its companions are found.
  EXPECT_THAT(OpenError(directory_), HasSubstr("/config.json: "));
  std::filesystem::remove(directory_ + "/config.json");
  for (const std::string& named : {directory_, directory_ + "/"}) {
    const auto file = TensorFile::Open(named);
    ASSERT_TRUE(file.ok()) << file.status();
    ExpectHolds(**file, tensors_);
    EXPECT_EQ((*file)->num_files(), 3);
    EXPECT_TRUE(std::filesystem::equivalent((*file)->directory(), directory_));
  }
}

TEST_F(TensorFileTest, TensorInTwoShardsIsRejected) {
  for (const char* name : {"m-1-of-2.st", "m-2-of-2.st"}) {
    testing::WriteFileOrDie(absl::StrCat(directory_, "/", name),
                            testing::SafetensorsBytes(tensors_));
  }
  EXPECT_THAT(OpenError(directory_),
              HasSubstr("has the native name \"t0\", as has tensor \"t0\""));
}

TEST_F(TensorFileTest, TiedHeadIsTheEmbedding) {
  testing::TestTensors tensors;
  tensors["rwkv.embeddings.weight"] = {.shape = {2, 2}, .values = {1, 2, 3, 4}};
  tensors["rwkv.blocks.0.pre_ln.weight"] = {.shape = {2}, .values = {5, 6}};
  testing::WriteCheckpoint(directory_, tensors);
  const std::string config = directory_ + "/config.json";
  testing::WriteFileOrDie(config, "{\"tie_word_embeddings\": true}");
  const auto tied = TensorFile::Open(directory_);
  ASSERT_TRUE(tied.ok()) << tied.status();
  EXPECT_EQ((*tied)->layout(), Layout::kHuggingFace);
  ASSERT_NE((*tied)->Find("head.weight"), nullptr);
  EXPECT_EQ((*tied)->Find("head.weight")->data.data(),
            (*tied)->Find("emb.weight")->data.data());

  testing::WriteFileOrDie(config, "{\"tie_word_embeddings\": false}");
  const auto loose = TensorFile::Open(directory_);
  ASSERT_TRUE(loose.ok()) << loose.status();
  EXPECT_EQ((*loose)->Find("head.weight"), nullptr);

  // A file that also stores the head has the same weights.
  tensors["head.weight"] = tensors["rwkv.embeddings.weight"];
  EXPECT_EQ((*tied)->Fingerprint(),
            testing::MakeTensorFile(tensors)->Fingerprint());
}

TEST_F(TensorFileTest, DamagedConfigIsNamedInTheError) {
  testing::WriteCheckpoint(directory_, tensors_);
  testing::WriteFileOrDie(directory_ + "/config.json", "{");
  EXPECT_THAT(OpenError(directory_), HasSubstr("/config.json"));
}

using Format = std::tuple<Architecture, testing::FileFormat>;

std::vector<Format> Formats() {
  std::vector<Format> formats;
  for (const Architecture architecture : testing::kAllArchitectures) {
    for (const testing::FileFormat format : testing::AllFileFormats()) {
      // web-rwkv repeats numbers of version 5.1, so the weights differ.
      const bool is_other = architecture == Architecture::kRwkv51 &&
                            format == testing::FileFormat::kWebRwkv;
      if (testing::HasFormat(architecture, format) && !is_other) {
        formats.emplace_back(architecture, format);
      }
    }
  }
  return formats;
}

std::string NameOfFormat(const ::testing::TestParamInfo<Format>& info) {
  return absl::StrReplaceAll(
      absl::StrCat(NameOf(std::get<0>(info.param)), "_",
                   testing::NameOf(std::get<1>(info.param))),
      {{".", "_"}});
}

class TensorFileFormatTest : public ::testing::TestWithParam<Format> {};

TEST_P(TensorFileFormatTest, FingerprintIsThatOfItsWeights) {
  const auto [architecture, format] = GetParam();
  // F16, which every format supports.
  const auto tensors = testing::RandomCheckpoint(architecture, 3, DType::kF16);
  const auto file = TensorFile::Open(testing::WriteCheckpointAs(
      testing::MakeTempDirectory(), tensors, architecture, format));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->Fingerprint(),
            testing::MakeTensorFile(tensors)->Fingerprint());
  const bool is_fla_6 = architecture == Architecture::kRwkv6 &&
                        format == testing::FileFormat::kFla;
  EXPECT_EQ((*file)->copied_bytes() > 0, is_fla_6);
}

INSTANTIATE_TEST_SUITE_P(All, TensorFileFormatTest,
                         ::testing::ValuesIn(Formats()), NameOfFormat);

// What quantized the weights says more than the types of its tensors.
TEST_F(TensorFileTest, QuantizationIsNamedBeforeUnknownTypes) {
  std::string bytes = testing::SafetensorsBytes(tensors_);
  absl::StrReplaceAll({{"F32", "I32"}}, &bytes);
  testing::WriteFileOrDie(directory_ + "/model.safetensors", bytes);
  EXPECT_THAT(OpenError(directory_), HasSubstr("I32"));
  testing::WriteFileOrDie(
      directory_ + "/config.json",
      R"({"quantization_config": {"quant_method": "quanto"}})");
  EXPECT_THAT(OpenError(directory_),
              HasSubstr("config.json says that \"quanto\" quantized"));
}

TEST_F(TensorFileTest, MissingFileIsNotFound) {
  const auto file = TensorFile::Open(directory_ + "/absent.safetensors");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("/absent.safetensors"));
}

TEST_F(TensorFileTest, DirectoryWithoutCheckpointIsAnError) {
  EXPECT_THAT(OpenError(directory_), HasSubstr("expected a *.safetensors"));
}

TEST_F(TensorFileTest, SeveralCheckpointsAreAnError) {
  testing::WriteFileOrDie(directory_ + "/a.safetensors", "");
  testing::WriteFileOrDie(directory_ + "/b.safetensors", "");
  EXPECT_THAT(OpenError(directory_),
              HasSubstr("expected one checkpoint, found 2"));
  EXPECT_THAT(OpenError(directory_), HasSubstr("/b.safetensors"));
}

TEST_F(TensorFileTest, MissingShardIsNamedInTheError) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 3);
  std::filesystem::remove(directory_ + "/model-2-of-3.safetensors");
  EXPECT_THAT(OpenError(path), HasSubstr("shard of tensor \"t1\""));
  EXPECT_THAT(OpenError(path), HasSubstr("model-2-of-3.safetensors"));
  EXPECT_THAT(OpenError(path),
              HasSubstr("; download all files that the index"));
}

TEST_F(TensorFileTest, TensorMissingFromItsShardIsNamedInTheError) {
  const std::string path = directory_ + "/m.safetensors.index.json";
  testing::WriteFileOrDie(directory_ + "/s.safetensors",
                          testing::SafetensorsBytes(tensors_));
  testing::WriteFileOrDie(path,
                          R"({"weight_map":{"stranger":"s.safetensors"}})");
  EXPECT_THAT(OpenError(path),
              HasSubstr("\"stranger\" is not in \"s.safetensors\""));
}

TEST_F(TensorFileTest, DamagedShardIsNamedInTheError) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 2);
  std::filesystem::resize_file(directory_ + "/model-1-of-2.safetensors", 100);
  EXPECT_THAT(OpenError(path), HasSubstr("model-1-of-2.safetensors"));
}

TEST_F(TensorFileTest, InvalidIndexIsRejected) {
  const std::string path = directory_ + "/m.safetensors.index.json";
  const std::pair<const char*, const char*> bad[] = {
      {"", "m.safetensors.index.json"},
      {"[]", "expected a JSON object"},
      {"{}", "expected an object \"weight_map\""},
      {R"({"weight_map":[]})", "expected an object \"weight_map\""},
      {R"({"weight_map":{}})", "expected an object \"weight_map\""},
      {R"({"weight_map":{"a":1}})", "weight_map[\"a\"]"},
      {R"({"weight_map":{"a":""}})", "weight_map[\"a\"]"},
      {R"({"weight_map":{"a":"../secret"}})", "weight_map[\"a\"]"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "weight_map[\"a\"]"},
      {R"({"weight_map":{"a":".."}})", "weight_map[\"a\"]"},
  };
  for (const auto& [text, message] : bad) {
    testing::WriteFileOrDie(path, text);
    EXPECT_THAT(OpenError(path), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace rwkvd
