// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/checkpoint_path.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pth_writer.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CheckpointPathTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes = "") {
    testing::WriteFileOrDie(directory_ + "/" + name, bytes);
  }
  // Writes a file as torch.save does.
  void WriteTorch(const std::string& name) {
    Write(name, testing::PthBytes({{"w", {.shape = {1}, .values = {1}}}}));
  }
  // The name of the file that is chosen from the directory.
  std::string Chosen() {
    const auto path = ChooseCheckpoint(directory_);
    EXPECT_TRUE(path.ok()) << path.status();
    if (!path.ok()) return "";
    EXPECT_TRUE(path->shards.empty());
    EXPECT_TRUE(std::filesystem::equivalent(
        std::filesystem::path(path->path).parent_path(), directory_));
    return std::filesystem::path(path->path).filename().string();
  }
  std::string Message(absl::StatusCode code) {
    return Message(code, directory_);
  }
  std::string Message(absl::StatusCode code, const std::string& named) {
    const auto path = ChooseCheckpoint(named);
    EXPECT_EQ(path.status().code(), code);
    EXPECT_THAT(std::string(path.status().message()), HasSubstr(directory_));
    return std::string(path.status().message());
  }

  const std::string directory_ = testing::MakeTempDirectory();
};

TEST_F(CheckpointPathTest, PathOfAFileIsReturnedUnchanged) {
  Write("some.thing");
  EXPECT_EQ(ChooseCheckpoint(directory_ + "/some.thing")->path,
            directory_ + "/some.thing");
  EXPECT_EQ(ChooseCheckpoint("/nowhere/at/all")->path, "/nowhere/at/all");
}

// Each file is preferred to those written before it.
TEST_F(CheckpointPathTest, FirstOfSeveralKindsIsChosen) {
  Write("config.json", "{}");
  Write("any.gguf");
  EXPECT_EQ(Chosen(), "any.gguf");
  WriteTorch("any.pt");
  EXPECT_EQ(Chosen(), "any.pt");
  for (const std::string name :
       {"any.pth", "any.st", "any.index.json", "pytorch_model.bin.index.json",
        "pytorch_model.bin", "model.safetensors.index.json",
        "model.safetensors"}) {
    Write(name);
    EXPECT_EQ(Chosen(), name);
  }
}

TEST_F(CheckpointPathTest, DirectoryMayEndInASlashOrBeALink) {
  Write("any.safetensors");
  EXPECT_TRUE(ChooseCheckpoint(directory_ + "/").ok());
  const std::string link = testing::MakeTempDirectory() + "/link";
  std::filesystem::create_directory_symlink(directory_, link);
  EXPECT_EQ(ChooseCheckpoint(link)->path, link + "/any.safetensors");
}

TEST_F(CheckpointPathTest, LinksToFilesAreFollowed) {
  const std::string elsewhere = testing::MakeTempDirectory() + "/blob";
  testing::WriteFileOrDie(elsewhere, "");
  std::filesystem::create_symlink(elsewhere, directory_ + "/model.safetensors");
  EXPECT_EQ(Chosen(), "model.safetensors");
}

TEST_F(CheckpointPathTest, OnlyBinFilesOfTorchAreConsidered) {
  WriteTorch("weights.bin");
  Write("training_args.bin", "\x80\x02}q\x01.");
  Write("rwkv-cpp.bin", "fmgg");
  EXPECT_EQ(Chosen(), "weights.bin");
}

TEST_F(CheckpointPathTest, SubdirectoriesAreIgnored) {
  std::filesystem::create_directory(directory_ + "/model.safetensors");
  std::filesystem::create_directory(directory_ + "/old.pth");
  Write("new.pth");
  EXPECT_EQ(Chosen(), "new.pth");
}

TEST_F(CheckpointPathTest, SeveralFilesOfOneKindAreAnError) {
  Write("b.pth");
  Write("a.pth");
  EXPECT_THAT(
      Message(absl::StatusCode::kInvalidArgument),
      HasSubstr(absl::StrCat("expected one checkpoint, found 2; name "
                             "one of them: ",
                             directory_, "/a.pth, ", directory_, "/b.pth")));
  Write("c.st");
  EXPECT_EQ(Chosen(), "c.st");
  Write("c.safetensors");
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr("found 2"));
}

TEST_F(CheckpointPathTest, MessageListsAtMostTenFiles) {
  for (int i = 10; i < 30; ++i) Write(absl::StrCat("m", i, ".pth"));
  const std::string message = Message(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(message, HasSubstr("found 20"));
  EXPECT_THAT(message, HasSubstr("/m19.pth, ..."));
  EXPECT_THAT(message, Not(HasSubstr("/m20.pth")));
}

TEST_F(CheckpointPathTest, DirectoryWithoutCheckpointIsAnError) {
  Write("README.md");
  Write("vocab.bin");
  EXPECT_THAT(Message(absl::StatusCode::kNotFound),
              HasSubstr("expected a *.safetensors, *.st, *.index.json, *.pth "
                        "or *.gguf file, or a *.bin or *.pt file written by "
                        "torch.save"));
}

TEST_F(CheckpointPathTest, HiddenFilesAreIgnored) {
  Write("._model.pth");
  Write(".model.safetensors");
  Message(absl::StatusCode::kNotFound);
  Write("model.pth");
  EXPECT_EQ(Chosen(), "model.pth");
}

TEST_F(CheckpointPathTest, UnfinishedDownloadsAreNamed) {
  Write("README.md");
  Write("model.safetensors.part");
  EXPECT_THAT(Message(absl::StatusCode::kNotFound),
              HasSubstr("\"model.safetensors.part\" is an unfinished"));
  Write("model.pth");
  EXPECT_EQ(Chosen(), "model.pth");
  Write("model.pth.aria2");
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr("/model.pth: its download has not finished: "));
  std::filesystem::create_symlink("../../blobs/absent",
                                  directory_ + "/model.safetensors");
  EXPECT_THAT(Message(absl::StatusCode::kNotFound),
              HasSubstr("/model.safetensors: is a link to a missing file"));
}

TEST_F(CheckpointPathTest, ShardsWithoutAnIndexAreAssembled) {
  for (const char* name : {"m-00002-of-00003.safetensors",
                           "m-00001-of-00003.safetensors", "README.md"}) {
    Write(name);
  }
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr("expected 3 shards m-*-of-00003.safetensors, found 2; "
                        "missing: 3"));
  Write("m-00003-of-00003.safetensors");
  const auto chosen = ChooseCheckpoint(directory_);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->path, directory_);
  EXPECT_THAT(
      chosen->shards,
      ::testing::ElementsAre(directory_ + "/m-00001-of-00003.safetensors",
                             directory_ + "/m-00002-of-00003.safetensors",
                             directory_ + "/m-00003-of-00003.safetensors"));
  Write("m.safetensors.index.json");
  EXPECT_EQ(Chosen(), "m.safetensors.index.json");
}

TEST_F(CheckpointPathTest, ShardsAndAnotherFileAreAmbiguous) {
  Write("m-1-of-2.pth");
  Write("m-2-of-2.pth");
  Write("other.pth");
  EXPECT_THAT(
      Message(absl::StatusCode::kInvalidArgument),
      HasSubstr(absl::StrCat("found 2; name one of them: ", directory_,
                             "/m-*-of-2.pth, ", directory_, "/other.pth")));
}

// Without shards, the index may list the file itself.
TEST_F(CheckpointPathTest, FileNextToItsIndexIsChosen) {
  Write("model.safetensors.index.json");
  Write("model.safetensors");
  Write("model-00001-of-00002.bin");
  EXPECT_EQ(Chosen(), "model.safetensors");
}

TEST_F(CheckpointPathTest, FileNextToAnIndexAndShardsIsAmbiguous) {
  Write("model.safetensors.index.json");
  Write("model.safetensors");
  Write("model-00001-of-00002.safetensors");
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr(absl::StrCat(
                  "expected one checkpoint, found 2; name one of them: ",
                  directory_, "/model.safetensors, ", directory_,
                  "/model.safetensors.index.json")));
}

TEST_F(CheckpointPathTest, OneShardAloneIsAnError) {
  Write("m-00002-of-00003.safetensors");
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument,
                      directory_ + "/m-00002-of-00003.safetensors"),
              HasSubstr("is shard 2 of 3; name the index of the shards, or "
                        "their directory"));
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr("missing: 1, 3"));
}

TEST_F(CheckpointPathTest, SplitGgufOpensByItsFirstPart) {
  Write("m-00002-of-00002.gguf");
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr("missing: 1"));
  Write("m-00001-of-00002.gguf");
  EXPECT_EQ(Chosen(), "m-00001-of-00002.gguf");
  const std::string first = directory_ + "/m-00001-of-00002.gguf";
  EXPECT_EQ(ChooseCheckpoint(first)->path, first);
}

class HubCacheTest : public CheckpointPathTest {
 protected:
  void SetUp() override {
    for (const char* name : {"refs", "blobs", "snapshots"}) MakeDirectory(name);
  }
  void MakeDirectory(const std::string& name) {
    std::filesystem::create_directory(directory_ + "/" + name);
  }
  void AddSnapshot(const std::string& revision) {
    MakeDirectory("snapshots/" + revision);
    Write("blobs/" + revision);
    std::filesystem::create_symlink(
        "../../blobs/" + revision,
        directory_ + "/snapshots/" + revision + "/model.safetensors");
  }
  std::string ChosenSnapshot() {
    const auto chosen = ChooseCheckpoint(directory_);
    EXPECT_TRUE(chosen.ok()) << chosen.status();
    return chosen.ok() ? chosen->path : "";
  }
};

TEST_F(HubCacheTest, OnlySnapshotIsChosen) {
  EXPECT_THAT(Message(absl::StatusCode::kNotFound), HasSubstr("no snapshot"));
  AddSnapshot("abc");
  EXPECT_EQ(ChosenSnapshot(), directory_ + "/snapshots/abc/model.safetensors");
}

TEST_F(HubCacheTest, DirectoryOfTheSnapshotsStandsForTheRepository) {
  AddSnapshot("abc");
  AddSnapshot("def");
  Write("refs/main", "abc");
  for (const char* end : {"", "/"}) {
    const auto chosen = ChooseCheckpoint(directory_ + "/snapshots" + end);
    ASSERT_TRUE(chosen.ok()) << chosen.status();
    EXPECT_TRUE(std::filesystem::equivalent(
        chosen->path, directory_ + "/snapshots/abc/model.safetensors"))
        << chosen->path;
  }
}

TEST_F(HubCacheTest, SnapshotOfMainIsPreferred) {
  AddSnapshot("abc");
  AddSnapshot("def");
  EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
              HasSubstr("has 2 snapshots"));
  Write("refs/main", "def\n");
  EXPECT_EQ(ChosenSnapshot(), directory_ + "/snapshots/def/model.safetensors");
  for (const char* bad : {"", "ghi", "../snapshots/abc", "..", "."}) {
    Write("refs/main", bad);
    EXPECT_THAT(Message(absl::StatusCode::kInvalidArgument),
                HasSubstr("refs/main names none of them"))
        << bad;
  }
}

TEST_F(HubCacheTest, MissingBlobIsNamed) {
  AddSnapshot("abc");
  std::filesystem::remove(directory_ + "/blobs/abc");
  EXPECT_THAT(Message(absl::StatusCode::kNotFound),
              HasSubstr("is a link to a missing file"));
}

TEST_F(CheckpointPathTest, CacheOfTheHubItselfNamesItsModels) {
  const std::string hub = directory_ + "/hub";
  for (const char* name : {"models--a--b", "models--c--d", "datasets--e--f"}) {
    std::filesystem::create_directories(hub + "/" + name);
  }
  for (const std::string& path : {hub, directory_}) {
    const std::string message = Message(absl::StatusCode::kNotFound, path);
    EXPECT_THAT(message, HasSubstr(absl::StrCat("name one of its models: ", hub,
                                                "/models--a--b, ", hub,
                                                "/models--c--d")));
    EXPECT_THAT(message, Not(HasSubstr("datasets")));
  }
}

}  // namespace
}  // namespace rwkvd
