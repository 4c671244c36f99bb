// SPDX-License-Identifier: Apache-2.0
#include "core/text/load_tokenizer.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/text/null_tokenizer.h"
#include "core/text/world_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/text/small_files.h"
#include "tests/core/text/vectors.h"
#include "tests/testing/fake_tokenizer.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<ChosenTokenizer> FindIn(const std::string& directory,
                                       int64_t vocab_size) {
  return ChooseTokenizer(
      {.directory = directory, .model_vocab_size = vocab_size});
}

// Creates an empty model directory.
class LoadTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(
        ::testing::TempDir(), "/load_tokenizer_",
        ::testing::UnitTest::GetInstance()->current_test_info()->name());
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

  // Finds the tokenizer of a model in the directory.
  absl::StatusOr<ChosenTokenizer> Find(int64_t vocab_size = 65536) const {
    return FindIn(directory_, vocab_size);
  }

  std::string directory_;  // removed at the end
};

std::string LoadError(const absl::Status& status) {
  return std::string(status.message());
}

TEST_F(LoadTokenizerTest, NameDecidesKind) {
  Write("any.txt", SmallWorldVocabulary());
  Write("any.json", SmallTokenizerJson().dump());
  Write("word_piece.json", SmallWordPieceJson().dump());
  const auto world = LoadTokenizer(Path("any.txt"));
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ((*world)->kind(), "world");
  const auto bpe = LoadTokenizer(Path("any.json"));
  ASSERT_TRUE(bpe.ok()) << bpe.status();
  EXPECT_EQ((*bpe)->kind(), "bpe");
  const auto word_piece = LoadTokenizer(Path("word_piece.json"));
  ASSERT_TRUE(word_piece.ok()) << word_piece.status();
  EXPECT_EQ((*word_piece)->kind(), "world");
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
    EXPECT_THAT(LoadError(tokenizer.status()),
                AllOf(HasSubstr(path), HasSubstr("*.txt")));
  }
}

TEST_F(LoadTokenizerTest, AbsentFileIsNotFound) {
  for (const char* name : {"absent.txt", "absent.json"}) {
    const auto tokenizer = LoadTokenizer(Path(name));
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(LoadError(tokenizer.status()), HasSubstr(Path(name)));
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
    EXPECT_THAT(LoadError(tokenizer.status()), HasSubstr(Path(name)));
  }
  EXPECT_THAT(LoadError(LoadTokenizer(Path("bad.txt")).status()),
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
    const auto chosen = Find();
    ASSERT_TRUE(chosen.ok()) << c.name << ": " << chosen.status();
    EXPECT_EQ(chosen->tokenizer->kind(), c.kind);
    EXPECT_EQ(chosen->source, Path(c.name));
    EXPECT_FALSE(chosen->is_guess);
    std::filesystem::remove(Path(c.name));
  }
}

TEST_F(LoadTokenizerTest, LinkToFileIsFollowed) {
  Write("real.bin", SmallWorldVocabulary());
  std::filesystem::create_symlink("real.bin", Path("rwkv_vocab.txt"));
  EXPECT_TRUE(Find().ok());
}

TEST_F(LoadTokenizerTest, NoFileAndVocabularyOf256MeansBytes) {
  const auto chosen = Find(256);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->tokenizer->kind(), "bytes");
  EXPECT_TRUE(chosen->is_guess);
  for (const int64_t size : {255, 257, 65536}) {
    const auto none = Find(size);
    EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(
        LoadError(none.status()),
        AllOf(HasSubstr(directory_), HasSubstr("rwkv_vocab*.txt"),
              HasSubstr("tokenizer.json"), HasSubstr(absl::StrCat(size))));
  }
}

TEST_F(LoadTokenizerTest, MalformedFileTakesPrecedenceOverBytes) {
  Write("tokenizer.json", "nonsense");
  EXPECT_EQ(Find(256).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadTokenizerTest, FilesThatDecodeDifferentlyAreRefusedAndListed) {
  Write("tokenizer.json", SmallTokenizerJson().dump());
  Write("rwkv_vocab.txt", SmallWorldVocabulary());
  Write("other.txt", "");
  const auto chosen = Find(256);
  EXPECT_EQ(chosen.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(LoadError(chosen.status()),
              AllOf(HasSubstr("2 that decode token 0 differently: "
                              "tokenizer.json, rwkv_vocab.txt"),
                    Not(HasSubstr("other.txt"))));
}

TEST_F(LoadTokenizerTest, FilesThatDifferOnlyInTheirLengthAreRefused) {
  Write("rwkv_vocab_a.txt", SmallWorldVocabulary());
  Write("rwkv_vocab_b.txt", SmallWorldVocabulary({"ab"}));
  EXPECT_THAT(LoadError(Find().status()), HasSubstr("decode token 257"));
}

TEST_F(LoadTokenizerTest, FilesThatDecodeAlikeAreOne) {
  Write("rwkv_vocab.txt", SmallWorldVocabulary({"ab", "bc"}));
  Write("a_tokenizer.json", SmallWordPieceJson({"ab", "bc"}).dump());
  nlohmann::json document = SmallWordPieceJson({"ab", "bc"});
  document["model"]["vocab"]["\uE000259\uE001"] = 259;  // never decoded
  Write("tokenizer.json", document.dump());
  const auto chosen = Find();
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->source, Path("tokenizer.json"));
  EXPECT_EQ(chosen->tokenizer->size(), 259);
}

TEST_F(LoadTokenizerTest, AnyDamagedFileIsRefused) {
  Write("rwkv_vocab.txt", SmallWorldVocabulary());
  Write("tokenizer.json", "{}");
  EXPECT_THAT(LoadError(Find().status()), HasSubstr(Path("tokenizer.json")));
}

TEST_F(LoadTokenizerTest, AbsentDirectoryIsRefused) {
  const auto absent = FindIn(Path("absent"), 256);
  EXPECT_EQ(absent.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(LoadError(absent.status()), HasSubstr(Path("absent")));
  Write("file", "");
  EXPECT_FALSE(FindIn(Path("file"), 256).ok());
}

TEST_F(LoadTokenizerTest, NameTakesPrecedenceOverFiles) {
  Write("rwkv_vocab.txt", SmallWorldVocabulary());
  for (const char* name : {"bytes", "none"}) {
    const auto chosen = ChooseTokenizer(
        {.name = name, .directory = directory_, .model_vocab_size = 300});
    ASSERT_TRUE(chosen.ok()) << chosen.status();
    EXPECT_EQ(chosen->tokenizer->kind(), name);
    EXPECT_EQ(chosen->source, name);
  }
}

TEST_F(LoadTokenizerTest, NoneHasIdsAlone) {
  const auto chosen = ChooseTokenizer({.name = "none", .model_vocab_size = 7});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  const Tokenizer& none = *chosen->tokenizer;
  EXPECT_FALSE(none.has_bytes());
  EXPECT_EQ(none.size(), 7);
  EXPECT_EQ(none.end_of_text(), std::nullopt);
  EXPECT_EQ(none.TokenBytes(3), "");
  EXPECT_EQ(none.Decode({1, 2}), "");
  for (const char* text : {"", "a", "a longer text"}) {
    EXPECT_EQ(none.Encode(text, 0).status(), NoBytesError()) << text;
  }
}

TEST_F(LoadTokenizerTest, FindsOfficialTokenizers) {
  RWKVD_SKIP_WITHOUT_FIXTURES();
  const auto world = FindIn(TokenizerFixtures() + "/world", 65536);
  ASSERT_TRUE(world.ok()) << world.status();
  EXPECT_EQ(world->tokenizer->size(), 65530);
  const auto bpe = FindIn(TokenizerFixtures() + "/20b", 50277);
  ASSERT_TRUE(bpe.ok()) << bpe.status();
  EXPECT_EQ(bpe->tokenizer->size(), 50277);
}

TEST_F(LoadTokenizerTest, KnownVocabulariesAreChosenByNameOrSize) {
  RWKVD_SKIP_WITHOUT_FIXTURES();
  const std::vector<std::string> share = {Path("absent"),
                                          TokenizerFixtures() + "/world",
                                          TokenizerFixtures() + "/20b"};
  const struct {
    const char* name;
    int64_t vocab_size;
    int64_t size;
  } cases[] = {{"world", 1, 65530}, {"", 65536, 65530}, {"", 50277, 50277}};
  for (const auto& c : cases) {
    const auto chosen = ChooseTokenizer({.name = c.name,
                                         .directory = directory_,
                                         .model_vocab_size = c.vocab_size,
                                         .share_folders = share});
    ASSERT_TRUE(chosen.ok()) << chosen.status();
    EXPECT_EQ(chosen->tokenizer->size(), c.size);
    EXPECT_EQ(chosen->is_guess, *c.name == '\0');
  }
}

TEST_F(LoadTokenizerTest, OtherFileInShareFolderIsRefused) {
  Write("rwkv_vocab_v20230424.txt", SmallWorldVocabulary());
  const auto chosen =
      ChooseTokenizer({.name = "world", .share_folders = {directory_}});
  EXPECT_EQ(chosen.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(LoadError(chosen.status()),
              AllOf(HasSubstr(Path("rwkv_vocab_v20230424.txt")),
                    HasSubstr("expected the vocabulary \"world\" with the "
                              "SHA-256 digest 8324")));
}

TEST_F(LoadTokenizerTest, AbsentKnownVocabularyIsNotFound) {
  for (const char* name : {"world", ""}) {
    const auto chosen =
        ChooseTokenizer({.name = name,
                         .directory = directory_,
                         .model_vocab_size = 65536,
                         .share_folders = {Path("a"), Path("b")}});
    EXPECT_EQ(chosen.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(LoadError(chosen.status()),
                AllOf(HasSubstr("PyPI package rwkv"), HasSubstr(Path("a")),
                      HasSubstr(Path("b"))));
  }
}

TEST(CheckFitTest, TokenizerHasNearlyAsManyTokensAsTheModel) {
  const auto fits = [](int64_t tokenizer_size, int64_t model_size) {
    return CheckFit(NullTokenizer(tokenizer_size), model_size);
  };
  EXPECT_TRUE(fits(65530, 65536).ok());
  EXPECT_TRUE(fits(50277, 50277).ok());
  EXPECT_TRUE(fits(50277, 50304).ok());
  EXPECT_TRUE(fits(377, 384).ok());
  EXPECT_TRUE(fits(256, 256).ok());
  EXPECT_THAT(LoadError(fits(256, 255)), HasSubstr("largest id, 255, "));
  EXPECT_THAT(LoadError(fits(65530, 50277)), HasSubstr("of 50277"));
  for (const int64_t size : {256, 30001, 50277, 65001}) {
    EXPECT_THAT(LoadError(fits(size, 65536)),
                HasSubstr(absl::StrCat("has only ", size, " tokens")));
  }
}

// A vocabulary that lists all ids of the model belongs to it, however many of
// them are unused.
TEST(CheckFitTest, UnusedIdsCountIfTheVocabularyListsThem) {
  const auto tokenizer =
      WorldTokenizer::Parse(SmallWorldVocabulary() + "1023 b'' 0\n", "list");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->size(), 257);
  EXPECT_TRUE(CheckFit(**tokenizer, 300).ok());
  EXPECT_TRUE(CheckFit(**tokenizer, 1024).ok());
  EXPECT_THAT(LoadError(CheckFit(**tokenizer, 1025)),
              HasSubstr("has only 1024 tokens"));
}

// The bytes of the tokens 0 to count - 1 of the World vocabulary.
std::vector<std::string> FirstWorldTokens(int64_t count) {
  const auto world =
      LoadTokenizer(TokenizerFixtures() + "/world/rwkv_vocab_v20230424.txt");
  std::vector<std::string> tokens;
  for (TokenId id = 0; id < count; ++id) {
    tokens.emplace_back((*world)->TokenBytes(id));
  }
  return tokens;
}

TEST(CheckFitTest, WorldVocabularyThatWasCutOffDoesNotFit) {
  RWKVD_SKIP_WITHOUT_FIXTURES();
  for (const int64_t size : {30001, 65281, 65529}) {
    const FakeTokenizer cut(FirstWorldTokens(size), /*end_of_text=*/0);
    EXPECT_THAT(LoadError(CheckFit(cut, 65536)),
                HasSubstr(absl::StrCat("has only ", size,
                                       " of the 65530 "
                                       "tokens of the vocabulary \"world\"")));
  }
  // A model that was trained with the cut vocabulary has as many tokens.
  const FakeTokenizer cut(FirstWorldTokens(65281), /*end_of_text=*/0);
  EXPECT_TRUE(CheckFit(cut, 65281).ok());
}

TEST(CheckFitTest, VocabularyThatHoldsWorldOrBeginsOtherwiseFits) {
  RWKVD_SKIP_WITHOUT_FIXTURES();
  std::vector<std::string> tokens = FirstWorldTokens(65530);
  EXPECT_TRUE(CheckFit(FakeTokenizer(tokens, 0), 65536).ok());
  tokens.push_back("<added>");
  EXPECT_TRUE(CheckFit(FakeTokenizer(tokens, 0), 65536).ok());
  tokens.resize(65300);
  std::swap(tokens[999], tokens[1000]);
  EXPECT_TRUE(CheckFit(FakeTokenizer(tokens, 0), 65536).ok());
}

}  // namespace
}  // namespace rwkvd
