// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/output_directory.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/tools/rwkv_convert/conversions.h"
#include "tools/rwkv_convert/shard_plan.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using testing::FilesIn;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Index(const std::vector<std::string>& shards) {
  std::string text = R"({"weight_map": {)";
  for (size_t i = 0; i < shards.size(); ++i) {
    text += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": \"" +
            shards[i] + "\"";
  }
  return text + "}}";
}

class OutputDirectoryTest : public ::testing::Test {
 protected:
  std::unique_ptr<OutputDirectory> Prepare(bool replace = false) {
    auto output = OutputDirectory::Prepare(path_, replace);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *std::move(output) : nullptr;
  }

  std::string ErrorOf(bool replace = false) {
    const auto output = OutputDirectory::Prepare(path_, replace);
    EXPECT_FALSE(output.ok());
    return std::string(output.status().message());
  }

  void Write(const std::string& name, absl::string_view text) {
    testing::WriteFileOrDie(path_ + "/" + name, text);
  }

  std::string Read(const std::string& name) {
    return testing::ReadFileOrDie(path_ + "/" + name);
  }

  // Writes drafts, each with `text` in it, and commits them.
  void CommitFiles(OutputDirectory& output,
                   const std::vector<std::string>& names,
                   absl::string_view text) {
    for (const std::string& name : names) {
      testing::WriteFileOrDie(output.drafts() + "/" + name, text);
    }
    const absl::Status status = output.Commit(names);
    EXPECT_TRUE(status.ok()) << status;
  }

  // Leaves everything as a killed process would.
  void Kill(std::unique_ptr<OutputDirectory> output) {
    const std::string away = path_ + "/../away";
    fs::rename(output->drafts(), away);
    output.reset();
    fs::rename(away, path_ + "/rwkv-convert.tmp");
  }

  const std::string parent_ = testing::MakeTempDirectory();
  const std::string path_ = parent_ + "/out";
};

TEST_F(OutputDirectoryTest, LeavesNothingWithoutCommit) {
  auto output = Prepare();
  testing::WriteFileOrDie(output->drafts() + "/model.safetensors", "half");
  EXPECT_THAT(FilesIn(path_), ElementsAre("rwkv-convert.tmp"));
  output.reset();
  EXPECT_THAT(FilesIn(parent_), IsEmpty());
}

TEST_F(OutputDirectoryTest, KeepsAFolderThatExistedBefore) {
  fs::create_directory(path_);
  Write("notes", "");
  Prepare().reset();
  EXPECT_THAT(FilesIn(path_), ElementsAre("notes"));
}

TEST_F(OutputDirectoryTest, CommitMovesFilesToTheirNames) {
  auto output = Prepare();
  CommitFiles(*output, {"tokenizer.json", "model.safetensors"}, "new");
  output.reset();
  EXPECT_THAT(FilesIn(path_),
              ElementsAre("model.safetensors", "tokenizer.json"));
  EXPECT_EQ(Read("model.safetensors"), "new");
}

TEST_F(OutputDirectoryTest, ReplacesACheckpointOnlyOnRequest) {
  fs::create_directory(path_);
  for (const char* name : {"model.safetensors", "model.safetensors.index.json",
                           "old.pth", "a.st"}) {
    Write(name, "old");
    EXPECT_THAT(ErrorOf(), HasSubstr("already holds a checkpoint"));
    EXPECT_THAT(ErrorOf(), HasSubstr(name));
    EXPECT_THAT(ErrorOf(), HasSubstr("--force"));
    EXPECT_THAT(FilesIn(path_), ElementsAre(name));
    fs::remove(path_ + "/" + name);
  }
  Write("a.pth", "");
  Write("b.pth", "");
  EXPECT_THAT(ErrorOf(), HasSubstr("already holds a checkpoint"));
}

TEST_F(OutputDirectoryTest, OneFileReplacesAnotherAtomically) {
  CommitFiles(*Prepare(), {"model.safetensors"}, "old");
  CommitFiles(*Prepare(true), {"model.safetensors"}, "new");
  EXPECT_THAT(FilesIn(path_), ElementsAre("model.safetensors"));
  EXPECT_EQ(Read("model.safetensors"), "new");
}

TEST_F(OutputDirectoryTest, RemovesOldWeightsAndNothingElse) {
  CommitFiles(*Prepare(),
              {"model-00001-of-00002.safetensors",
               "model-00002-of-00002.safetensors", kIndexFile},
              "old");
  for (const char* other :
       {"model.pth", "my.safetensors", "model-1.safetensors", "tokenizer.json",
        "README.md"}) {
    Write(other, "old");
  }
  CommitFiles(*Prepare(true), {"tokenizer.json", "model.safetensors"}, "new");
  EXPECT_THAT(FilesIn(path_), ElementsAre("README.md", "model-1.safetensors",
                                          "model.pth", "model.safetensors",
                                          "my.safetensors", "tokenizer.json"));
  EXPECT_EQ(Read("model.safetensors"), "new");
  EXPECT_EQ(Read("tokenizer.json"), "new");
  EXPECT_EQ(Read("my.safetensors"), "old");
}

TEST_F(OutputDirectoryTest, NewShardsGetUnusedNames) {
  auto first = Prepare();
  const auto names = first->FreeShardNames(2);
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*names, ShardNames("model", 2));
  auto files = *names;
  files.push_back(kIndexFile);
  CommitFiles(*first, files, "first");
  first.reset();

  for (const char* stem : {"model-b", "model"}) {
    auto next = Prepare(true);
    const auto free = next->FreeShardNames(2);
    ASSERT_TRUE(free.ok());
    EXPECT_EQ(*free, ShardNames(stem, 2));
    files = *free;
    files.push_back(kIndexFile);
    CommitFiles(*next, files, stem);
    EXPECT_THAT(FilesIn(path_), ElementsAre(files[0], files[1], files[2]));
    EXPECT_EQ(Read(files[0]), stem);
  }
}

TEST_F(OutputDirectoryTest, RemovesTheDraftsOfAKilledRun) {
  fs::create_directory(path_);
  auto killed = Prepare();
  testing::WriteFileOrDie(killed->drafts() + "/model.safetensors", "half");
  Kill(std::move(killed));
  ASSERT_THAT(FilesIn(path_), ElementsAre("rwkv-convert.tmp"));
  const auto output = Prepare();
  ASSERT_NE(output, nullptr);
  EXPECT_THAT(FilesIn(output->drafts()), IsEmpty());
}

TEST_F(OutputDirectoryTest, RemovesTheShardsOfARunKilledDuringCommit) {
  const std::vector<std::string> shards = ShardNames("model", 2);
  fs::create_directory(path_);
  auto killed = Prepare();
  testing::WriteFileOrDie(killed->drafts() + "/" + kIndexFile, Index(shards));
  testing::WriteFileOrDie(killed->drafts() + "/" + shards[1], "");
  Write(shards[0], "");
  Kill(std::move(killed));
  ASSERT_THAT(FilesIn(path_), ElementsAre(shards[0], "rwkv-convert.tmp"));
  ASSERT_NE(Prepare(), nullptr);
  EXPECT_THAT(FilesIn(path_), IsEmpty());
}

TEST_F(OutputDirectoryTest, KeepsShardsInUse) {
  const std::vector<std::string> shards = ShardNames("model", 2);
  fs::create_directory(path_);
  Write(kIndexFile, Index({shards[0]}));
  Write(shards[0], "");
  auto killed = Prepare(true);
  testing::WriteFileOrDie(killed->drafts() + "/" + kIndexFile,
                          Index({shards[0], "my.safetensors"}));
  Write("my.safetensors", "");
  Kill(std::move(killed));
  ASSERT_NE(Prepare(true), nullptr);
  EXPECT_THAT(FilesIn(path_),
              ElementsAre(shards[0], kIndexFile, "my.safetensors"));
}

TEST_F(OutputDirectoryTest, RefusesASecondProcess) {
  const auto first = Prepare();
  EXPECT_THAT(ErrorOf(), HasSubstr("another rwkv-convert is writing"));
  EXPECT_TRUE(fs::exists(first->drafts()));
}

TEST_F(OutputDirectoryTest, NamesAFileInPlaceOfTheFolder) {
  testing::WriteFileOrDie(path_, "");
  EXPECT_THAT(ErrorOf(), HasSubstr(path_));
  EXPECT_TRUE(fs::is_regular_file(path_));
}

TEST_F(OutputDirectoryTest, RefusesAConfigThatWouldNotFitTheResult) {
  fs::create_directory(path_);
  Write("config.json", "{}");
  const auto error_of = [&](bool fused_norm) {
    const auto output = OutputDirectory::Prepare(path_, true, fused_norm);
    return std::string(output.status().message());
  };
  EXPECT_EQ(error_of(false), "");
  EXPECT_THAT(error_of(true), HasSubstr("needs a config.json of its own"));
  Write("config.json", kFusedNormConfig);
  EXPECT_THAT(error_of(false), HasSubstr("describes another model"));
  EXPECT_EQ(error_of(true), "");
}

TEST_F(OutputDirectoryTest, RefusesAFolderWithAnUnreadableConfig) {
  fs::create_directory(path_);
  Write("config.json", "{");
  EXPECT_THAT(ErrorOf(), HasSubstr("would apply to the result"));
  EXPECT_THAT(ErrorOf(true), HasSubstr("config.json"));
}

}  // namespace
}  // namespace rwkvd
