// SPDX-License-Identifier: Apache-2.0
#include "core/text/load_tokenizer.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/text/small_files.h"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Creates an empty model directory.
class LoadTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(
        testing::TempDir(), "/load_tokenizer_",
        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const {
    return absl::StrCat(directory_, "/", name);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name), std::ios::binary) << text;
  }

  std::string directory_;
};

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST_F(LoadTokenizerTest, NameDecidesKind) {
  Write("any.txt", SmallWorldVocabulary());
  Write("any.json", SmallTokenizerJson().dump());
  const auto world = LoadTokenizer(Path("any.txt"));
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ((*world)->kind(), "world");
  const auto bpe = LoadTokenizer(Path("any.json"));
  ASSERT_TRUE(bpe.ok()) << bpe.status();
  EXPECT_EQ((*bpe)->kind(), "bpe");
  const auto bytes = LoadTokenizer("bytes");
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ((*bytes)->kind(), "bytes");
}

TEST_F(LoadTokenizerTest, OtherNamesAreRefused) {
  Write("vocab.bin", SmallWorldVocabulary());
  for (const std::string& path :
       {Path("vocab.bin"), std::string(), std::string("Bytes"), directory_}) {
    const auto tokenizer = LoadTokenizer(path);
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(tokenizer.status()),
                AllOf(HasSubstr(path), HasSubstr("*.txt")));
  }
}

TEST_F(LoadTokenizerTest, AbsentFileIsNotFound) {
  for (const char* name : {"absent.txt", "absent.json"}) {
    const auto tokenizer = LoadTokenizer(Path(name));
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(Message(tokenizer.status()), HasSubstr(Path(name)));
  }
}

TEST_F(LoadTokenizerTest, MalformedAndEmptyFilesAreRefusedWithPath) {
  Write("empty.txt", "");
  Write("empty.json", "");
  Write("bad.txt", "1 'a' 2\n");
  Write("bad.json", "{}");
  std::filesystem::create_directory(Path("folder.txt"));
  for (const char* name :
       {"empty.txt", "empty.json", "bad.txt", "bad.json", "folder.txt"}) {
    const auto tokenizer = LoadTokenizer(Path(name));
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(tokenizer.status()), HasSubstr(Path(name)));
  }
  EXPECT_THAT(Message(LoadTokenizer(Path("bad.txt")).status()),
              HasSubstr("bad.txt: line 1: "));
}

TEST_F(LoadTokenizerTest, FindsOnlyTokenizerInDirectory) {
  const struct {
    const char* name;
    std::string text;
    const char* kind;
  } cases[] = {{"rwkv_vocab.txt", SmallWorldVocabulary(), "world"},
               {"rwkv_vocab_v20230424.txt", SmallWorldVocabulary(), "world"},
               {"tokenizer.json", SmallTokenizerJson().dump(), "bpe"},
               {"20B_tokenizer.json", SmallTokenizerJson().dump(), "bpe"}};
  // Other files of a model directory.
  Write("config.json", "{}");
  Write("tokenizer_config.json", "{}");
  Write("vocab.txt", "");
  Write("README.txt", "");
  Write(".tokenizer.json", "");
  Write("tokenizer.json.bak", "");
  std::filesystem::create_directory(Path("rwkv_vocab_folder.txt"));
  std::filesystem::create_symlink("absent", Path("dangling_tokenizer.json"));
  for (const auto& c : cases) {
    Write(c.name, c.text);
    const auto tokenizer = FindTokenizer(directory_, 65536);
    ASSERT_TRUE(tokenizer.ok()) << c.name << ": " << tokenizer.status();
    EXPECT_EQ((*tokenizer)->kind(), c.kind);
    std::filesystem::remove(Path(c.name));
  }
}

TEST_F(LoadTokenizerTest, LinkToFileIsFollowed) {
  Write("real.bin", SmallWorldVocabulary());
  std::filesystem::create_symlink("real.bin", Path("rwkv_vocab.txt"));
  EXPECT_TRUE(FindTokenizer(directory_, 65536).ok());
}

TEST_F(LoadTokenizerTest, NoFileAndVocabularyOf256MeansBytes) {
  const auto tokenizer = FindTokenizer(directory_, 256);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->kind(), "bytes");
  for (const int64_t size : {255, 257, 65536}) {
    const auto none = FindTokenizer(directory_, size);
    EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(
        Message(none.status()),
        AllOf(HasSubstr(directory_), HasSubstr("rwkv_vocab*.txt"),
              HasSubstr("tokenizer.json"), HasSubstr(absl::StrCat(size))));
  }
}

TEST_F(LoadTokenizerTest, MalformedFileTakesPrecedenceOverBytes) {
  Write("tokenizer.json", "nonsense");
  EXPECT_EQ(FindTokenizer(directory_, 256).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadTokenizerTest, SeveralCandidatesAreRefusedAndListed) {
  Write("tokenizer.json", SmallTokenizerJson().dump());
  Write("rwkv_vocab.txt", SmallWorldVocabulary());
  Write("other.txt", "");
  const auto tokenizer = FindTokenizer(directory_, 256);
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(tokenizer.status()),
              AllOf(HasSubstr("rwkv_vocab.txt, tokenizer.json"),
                    Not(HasSubstr("other.txt"))));
}

TEST_F(LoadTokenizerTest, AbsentDirectoryIsRefused) {
  const auto absent = FindTokenizer(Path("absent"), 256);
  EXPECT_EQ(absent.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(absent.status()), HasSubstr(Path("absent")));
  Write("file", "");
  EXPECT_FALSE(FindTokenizer(Path("file"), 256).ok());
}

TEST_F(LoadTokenizerTest, FindsOfficialTokenizers) {
  RWKVD_SKIP_WITHOUT_FIXTURES();
  const auto world = FindTokenizer(TokenizerFixtures() + "/world", 65536);
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ((*world)->size(), 65530);
  const auto bpe = FindTokenizer(TokenizerFixtures() + "/20b", 50277);
  ASSERT_TRUE(bpe.ok()) << bpe.status();
  EXPECT_EQ((*bpe)->size(), 50277);
}

}  // namespace
}  // namespace rwkvd
