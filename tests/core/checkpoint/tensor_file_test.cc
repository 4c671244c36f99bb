// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tensor_file.h"

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
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

std::string Message(const std::string& path) {
  const auto file = TensorFile::Open(path);
  EXPECT_FALSE(file.ok());
  return std::string(file.status().message());
}

class TensorFileTest : public ::testing::Test {
 protected:
  const std::string directory_ = testing::MakeTempDirectory();
  const testing::TestTensors tensors_ = SomeTensors();
};

TEST_F(TensorFileTest, OneFileByItsPathAndByItsFolder) {
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

TEST_F(TensorFileTest, ShardsByTheirIndexAndByTheirFolder) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 3);
  for (const std::string& named : {path, directory_}) {
    const auto file = TensorFile::Open(named);
    ASSERT_TRUE(file.ok()) << file.status();
    ExpectHolds(**file, tensors_);
    EXPECT_EQ((*file)->num_files(), 3);
  }
}

TEST_F(TensorFileTest, TheFingerprintIsOfTheWeightsNotOfTheFiles) {
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

TEST_F(TensorFileTest, AMissingFileIsNotFound) {
  const auto file = TensorFile::Open(directory_ + "/absent.safetensors");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("/absent.safetensors"));
}

TEST_F(TensorFileTest, AFolderWithoutACheckpointSaysWhatWasLookedFor) {
  EXPECT_THAT(Message(directory_), HasSubstr("no *.safetensors"));
}

TEST_F(TensorFileTest, OfSeveralCheckpointsNoneIsGuessed) {
  testing::WriteFileOrDie(directory_ + "/a.safetensors", "");
  testing::WriteFileOrDie(directory_ + "/b.safetensors", "");
  EXPECT_THAT(Message(directory_),
              HasSubstr("expected one checkpoint, found 2"));
  EXPECT_THAT(Message(directory_), HasSubstr("/b.safetensors"));
}

TEST_F(TensorFileTest, AnIndexThatNamesAnAbsentShardSaysWhich) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 3);
  std::filesystem::remove(directory_ + "/model-2-of-3.safetensors");
  EXPECT_THAT(Message(path), HasSubstr("shard of tensor \"t1\""));
  EXPECT_THAT(Message(path), HasSubstr("model-2-of-3.safetensors"));
}

TEST_F(TensorFileTest, ATensorThatItsShardDoesNotHoldIsNamed) {
  const std::string path = directory_ + "/m.safetensors.index.json";
  testing::WriteFileOrDie(directory_ + "/s.safetensors",
                          testing::SafetensorsBytes(tensors_));
  testing::WriteFileOrDie(path,
                          R"({"weight_map":{"stranger":"s.safetensors"}})");
  EXPECT_THAT(Message(path), HasSubstr("\"stranger\" is not in s.safetensors"));
}

TEST_F(TensorFileTest, ADamagedShardIsNamed) {
  const std::string path = testing::WriteCheckpoint(directory_, tensors_, 2);
  std::filesystem::resize_file(directory_ + "/model-1-of-2.safetensors", 100);
  EXPECT_THAT(Message(path), HasSubstr("model-1-of-2.safetensors"));
}

TEST_F(TensorFileTest, BadIndexesAreRefused) {
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
    EXPECT_THAT(Message(path), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace rwkvd
