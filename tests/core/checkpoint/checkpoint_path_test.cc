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
    EXPECT_TRUE(std::filesystem::equivalent(
        std::filesystem::path(*path).parent_path(), directory_));
    return std::filesystem::path(*path).filename().string();
  }
  std::string Message(absl::StatusCode code) {
    const auto path = ChooseCheckpoint(directory_);
    EXPECT_EQ(path.status().code(), code);
    EXPECT_THAT(std::string(path.status().message()), HasSubstr(directory_));
    return std::string(path.status().message());
  }

  const std::string directory_ = testing::MakeTempDirectory();
};

TEST_F(CheckpointPathTest, PathOfAFileIsReturnedUnchanged) {
  Write("some.thing");
  EXPECT_EQ(*ChooseCheckpoint(directory_ + "/some.thing"),
            directory_ + "/some.thing");
  EXPECT_EQ(*ChooseCheckpoint("/nowhere/at/all"), "/nowhere/at/all");
}

// Each file is preferred to those written before it.
TEST_F(CheckpointPathTest, FirstOfSeveralKindsIsChosen) {
  Write("config.json", "{}");
  WriteTorch("any.pt");
  EXPECT_EQ(Chosen(), "any.pt");
  for (const std::string name :
       {"any.pth", "any.st", "any.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json", "model.safetensors",
        "model.safetensors.index.json"}) {
    Write(name);
    EXPECT_EQ(Chosen(), name);
  }
}

TEST_F(CheckpointPathTest, DirectoryMayEndInASlashOrBeALink) {
  Write("any.safetensors");
  EXPECT_TRUE(ChooseCheckpoint(directory_ + "/").ok());
  const std::string link = testing::MakeTempDirectory() + "/link";
  std::filesystem::create_directory_symlink(directory_, link);
  EXPECT_EQ(*ChooseCheckpoint(link), link + "/any.safetensors");
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
              HasSubstr("expected a *.safetensors, *.st, *.index.json or *.pth "
                        "file, or a *.bin or *.pt file written by torch.save"));
}

}  // namespace
}  // namespace rwkvd
