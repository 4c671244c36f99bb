// SPDX-License-Identifier: Apache-2.0
#include "core/text/world_tokenizer.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/text/small_files.h"
#include "tests/core/text/vectors.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<const WorldTokenizer> WorldOf(const std::string& vocabulary) {
  auto tokenizer = WorldTokenizer::Parse(vocabulary, "vocab.txt");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return std::move(tokenizer).value();
}

TEST(WorldTokenizerTest, EncodeTakesLongestTokenRepeatedly) {
  const auto tokenizer =
      WorldOf(SmallWorldVocabulary({"ab", "abc", "bcd", "cd", " a"}));
  const int ab = 257, abc = 258, bcd = 259, cd = 260, space_a = 261;
  const auto id = [](char c) { return static_cast<uint8_t>(c) + 1; };
  EXPECT_THAT(*tokenizer->Encode("abcd"), ElementsAre(abc, id('d')));
  EXPECT_THAT(*tokenizer->Encode("bcdcd"), ElementsAre(bcd, cd));
  EXPECT_THAT(*tokenizer->Encode("ab ab"), ElementsAre(ab, space_a, id('b')));
  EXPECT_THAT(*tokenizer->Encode(std::string("\0\xff", 2)),
              ElementsAre(1, 256));
  EXPECT_THAT(*tokenizer->Encode(""), IsEmpty());
}

TEST(WorldTokenizerTest, MatchesLinearSearchOnRandomVocabularies) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    const auto random_text = [&](size_t length) {
      std::string text(length, 'x');
      for (char& c : text) c = "ab\xe4"[random() % 3];
      return text;
    };
    std::set<std::string> tokens;
    const unsigned longest = round % 2 == 0 ? 5 : 12;
    for (int i = 0; i < 20; ++i) {
      tokens.insert(random_text(2 + random() % longest));
    }
    const std::vector<std::string> more(tokens.begin(), tokens.end());
    const auto tokenizer = WorldOf(SmallWorldVocabulary(more));
    const std::string text = random_text(200);
    std::vector<TokenId> expected;
    for (size_t at = 0; at < text.size();) {
      size_t length = 1;
      TokenId id = static_cast<uint8_t>(text[at]) + 1;
      for (size_t i = 0; i < more.size(); ++i) {
        if (more[i].size() > length &&
            text.compare(at, more[i].size(), more[i]) == 0) {
          length = more[i].size();
          id = static_cast<TokenId>(257 + i);
        }
      }
      expected.push_back(id);
      at += length;
    }
    EXPECT_EQ(*tokenizer->Encode(text), expected);
  }
}

// Each rest of such a text is the beginning of a long token, but of no other.
TEST(WorldTokenizerTest, TimeDoesNotDependOnTokens) {
  constexpr size_t kLength = 4 << 20;
  const auto tokenizer = WorldOf(SmallWorldVocabulary(
      {std::string(1023, 'a') + "b", std::string(500, 'a')}));
  const auto ids = tokenizer->Encode(std::string(kLength, 'a'));
  ASSERT_TRUE(ids.ok()) << ids.status();
  ASSERT_EQ(ids->size(), kLength / 500 + kLength % 500);
  EXPECT_EQ(ids->front(), 258);
  EXPECT_EQ(ids->back(), 'a' + 1);
}

TEST(WorldTokenizerTest, LimitCutsWithinTheRestOfALongToken) {
  const auto tokenizer = WorldOf(SmallWorldVocabulary({"abcdefgh"}));
  const std::string text = "abcdefgx";
  EXPECT_EQ(tokenizer->Encode(text)->size(), text.size());
  EXPECT_EQ(tokenizer->Encode(text, 8)->size(), text.size());
  for (const int limit : {1, 4, 7}) {
    EXPECT_EQ(tokenizer->Encode(text, limit).status().code(),
              absl::StatusCode::kOutOfRange);
  }
}

TEST(WorldTokenizerTest, ReportsKindSizeAndEndOfText) {
  const auto tokenizer =
      WorldOf(SmallWorldVocabulary() + WorldLine(300, "xyz"));
  EXPECT_EQ(tokenizer->size(), 301);
  EXPECT_EQ(tokenizer->kind(), "world");
  EXPECT_EQ(tokenizer->end_of_text(), 0);
  EXPECT_EQ(tokenizer->TokenBytes(300), "xyz");
  EXPECT_EQ(tokenizer->TokenBytes(98), "a");
  for (const TokenId id : {0, 299, 257, 301, -1, 1 << 30}) {
    EXPECT_EQ(tokenizer->TokenBytes(id), "") << id;
  }
}

TEST(WorldTokenizerTest, DosLineEndsAndMissingLastLineEndAreAccepted) {
  const std::string vocabulary = SmallWorldVocabulary({"ab"});
  const std::string dos = absl::StrReplaceAll(vocabulary, {{"\n", "\r\n"}});
  for (const std::string& text :
       {vocabulary, dos, vocabulary.substr(0, vocabulary.size() - 1),
        dos.substr(0, dos.size() - 1), dos.substr(0, dos.size() - 2)}) {
    const auto tokenizer = WorldOf(text);
    EXPECT_EQ(tokenizer->size(), 258);
    EXPECT_THAT(*tokenizer->Encode("ab\r"), ElementsAre(257, 14));
  }
}

TEST(WorldTokenizerTest, LiteralsWithSpacesAndUnorderedIdsAreAccepted) {
  const auto tokenizer = WorldOf(
      absl::StrCat("258 ' a  b ' 6\n257 '  ' 2\n", SmallWorldVocabulary()));
  EXPECT_EQ(tokenizer->TokenBytes(258), " a  b ");
  EXPECT_EQ(tokenizer->TokenBytes(257), "  ");
}

TEST(WorldTokenizerTest, LinesWithoutBytesListUnusedIds) {
  const auto tokenizer = WorldOf(absl::StrCat(
      "1023 b'' 0\n", SmallWorldVocabulary(), "258 'ab' 2\n257 '' 0\n"));
  EXPECT_EQ(tokenizer->size(), 259);
  EXPECT_EQ(tokenizer->num_listed_ids(), 1024);
  EXPECT_EQ(tokenizer->TokenBytes(257), "");
  EXPECT_EQ(tokenizer->TokenBytes(1023), "");
  EXPECT_THAT(*tokenizer->Encode("ab"), ElementsAre(258));
}

TEST(WorldTokenizerTest, MalformedLinesAreRefusedWithFileAndLine) {
  const struct {
    std::string line;
    const char* complaint;
  } cases[] = {{"", "ID LITERAL BYTES"},
               {"257", "ID LITERAL BYTES"},
               {"257 'a'", "ID LITERAL BYTES"},
               {"257'ab' 2", "ID LITERAL BYTES"},
               {"x 'ab' 2", "expected an id from 1 to 1048575, got \"x\""},
               {" 257 'ab' 2", "expected an id"},
               {"+257 'ab' 2", "expected an id"},
               {"-1 'ab' 2", "expected an id"},
               {"0 'ab' 2", "expected an id"},
               {"1048576 'ab' 2", "expected an id"},
               {"99999999999999999999 'ab' 2", "expected an id"},
               {"2.5 'ab' 2", "expected an id"},
               {"257 'ab' 3", "expected the length 2, got \"3\""},
               {"257 'ab' -2", "expected the length 2"},
               {"257 'ab' ", "expected the length 2"},
               {"257 'ab' 2 ", "expected '...'"},
               {"257 'ab' two", "expected the length 2"},
               {"257 '\\x80' 1", "expected the length 2, got \"1\""},
               {"257 '' 1", "expected the length 0, got \"1\""},
               {"256 '' 0", "expected each id once, got 256 again"},
               {absl::StrCat("257 '", std::string(1025, 'a'), "' 1025"),
                "expected a token of at most 1024 bytes, got 1025"},
               {"257 ab 2", "expected '...'"},
               {"257 'ab\" 2", "expected '...'"},
               {"257 '\\q' 2", "unknown escape"},
               {"257  'ab' 2", "expected '...'"},
               {"1 'ab' 2", "expected each id once, got 1 again"},
               {"257 'a' 1", "the bytes of token 98 again as token 257"},
               {std::string("257 '\0\xff' 2", 11), "UTF-8"}};
  for (const auto& c : cases) {
    const auto tokenizer = WorldTokenizer::Parse(
        absl::StrCat(SmallWorldVocabulary(), c.line, "\n"), "dir/vocab.txt");
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument)
        << c.line;
    EXPECT_THAT(
        std::string(tokenizer.status().message()),
        AllOf(HasSubstr("dir/vocab.txt: line 257: "), HasSubstr(c.complaint)))
        << c.line;
  }
}

TEST(WorldTokenizerTest, MissingSingleBytesAreRefusedByName) {
  std::string vocabulary = SmallWorldVocabulary();
  for (const int byte : {0x0A, 0xFF}) {
    const std::string line =
        WorldLine(byte + 1, std::string(1, static_cast<char>(byte)));
    vocabulary = absl::StrReplaceAll(vocabulary, {{line, ""}});
  }
  EXPECT_THAT(
      std::string(
          WorldTokenizer::Parse(vocabulary, "v.txt").status().message()),
      AllOf(HasSubstr("v.txt"), HasSubstr("missing 2: 0x0a 0xff")));
}

TEST(WorldTokenizerTest, EmptyAndRandomFilesAreRefused) {
  std::mt19937 random(4);
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string(100000, '\n'),
        std::string(100000, ' '), RandomBytes(random, 10000)}) {
    EXPECT_EQ(WorldTokenizer::Parse(text, "v.txt").status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(WorldTokenizerTest, FailedDownloadIsNamed) {
  const auto message = [](absl::string_view text) {
    return std::string(WorldTokenizer::Parse(text, "v.txt").status().message());
  };
  EXPECT_THAT(message("version https://git-lfs.github.com/spec/v1\noid"),
              HasSubstr("v.txt: expected a vocabulary, got a git-lfs pointer"));
  EXPECT_THAT(message("<!DOCTYPE html>\n"), HasSubstr("a web page"));
}

TEST(WorldTokenizerTest, OversizedFileIsRefusedBeforeParsing) {
  const std::string text(WorldTokenizer::kMaxFileBytes + 1, 'x');
  EXPECT_THAT(
      std::string(WorldTokenizer::Parse(text, "v.txt").status().message()),
      HasSubstr("expected a vocabulary of at most 16777216 bytes"));
}

TEST(WorldTokenizerTest, TruncatedVocabularyIsRefused) {
  std::string vocabulary = SmallWorldVocabulary();
  vocabulary.pop_back();  // the last line is complete without its line end
  for (size_t length = 0; length < vocabulary.size(); ++length) {
    ASSERT_FALSE(
        WorldTokenizer::Parse(vocabulary.substr(0, length), "v.txt").ok())
        << length;
  }
}

TEST(WorldTokenizerTest, RandomBytesRoundTrip) {
  std::mt19937 random(5);
  const auto tokenizer = WorldOf(SmallWorldVocabulary(
      {"\xff\xfe", "aa", "\xe4\xb8", std::string(3, '\0')}));
  for (int i = 0; i < 500; ++i) {
    const std::string bytes = RandomBytes(random, i);
    EXPECT_EQ(tokenizer->Decode(*tokenizer->Encode(bytes)), bytes);
  }
}

// The tokens of SmallWorldVocabulary, by id.
std::vector<std::string> SmallTokens() {
  std::vector<std::string> tokens(1);
  for (int i = 0; i < 256; ++i) {
    tokens.push_back(std::string(1, static_cast<char>(i)));
  }
  return tokens;
}

TEST(WorldTokenizerTest, ByteOrderMarkIsIgnored) {
  EXPECT_EQ(WorldOf("\xEF\xBB\xBF" + SmallWorldVocabulary())->size(), 257);
}

TEST(WorldTokenizerTest, FromTokensEqualsParsedVocabulary) {
  std::vector<std::string> tokens = SmallTokens();
  for (const char* token : {"ab", "", "abc", "\xe4\xb8", "", ""}) {
    tokens.push_back(token);
  }
  const auto tokenizer = WorldTokenizer::FromTokens(tokens, "list");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto parsed =
      WorldOf(absl::StrCat(SmallWorldVocabulary(), WorldLine(257, "ab"),
                           WorldLine(259, "abc"), WorldLine(260, "\xe4\xb8")));
  EXPECT_EQ((*tokenizer)->size(), 261);  // without the unused ids at the end
  EXPECT_EQ((*tokenizer)->num_listed_ids(), 263);
  EXPECT_EQ(parsed->num_listed_ids(), 261);
  EXPECT_EQ((*tokenizer)->size(), parsed->size());
  for (TokenId id = 0; id < 263; ++id) {
    EXPECT_EQ((*tokenizer)->TokenBytes(id), parsed->TokenBytes(id)) << id;
  }
  const std::string text = "abcab\xe4\xb8\xad\xff c";
  EXPECT_EQ(*(*tokenizer)->Encode(text), *parsed->Encode(text));
}

TEST(WorldTokenizerTest, MalformedTokensAreRefusedByName) {
  const auto error = [](std::vector<std::string> tokens) {
    const auto tokenizer = WorldTokenizer::FromTokens(tokens, "list");
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(tokenizer.status().message());
  };
  const auto with = [](const std::string& token) {
    std::vector<std::string> tokens = SmallTokens();
    tokens.push_back(token);
    return tokens;
  };
  EXPECT_TRUE(
      WorldTokenizer::FromTokens(with(std::string(1024, 'a')), "list").ok());
  EXPECT_THAT(error(with(std::string(1025, 'a'))),
              HasSubstr("list: token 257: expected at most 1024 bytes"));
  EXPECT_THAT(error(with("a")),
              HasSubstr("list: expected each token once, got the bytes of "
                        "token 98 again as token 257"));
  EXPECT_THAT(error({}), HasSubstr("list: expected the single bytes"));
  EXPECT_THAT(error(std::vector<std::string>((1 << 20) + 1)),
              HasSubstr("list: expected at most 1048576 tokens, got 1048577"));
  std::vector<std::string> tokens = SmallTokens();
  tokens[0] = "<s>";
  EXPECT_THAT(error(tokens), HasSubstr("list: expected no bytes for token 0"));
  tokens = SmallTokens();
  tokens[11].clear();
  EXPECT_THAT(error(tokens), HasSubstr("missing 1: 0x0a"));
}

// Token 257 is "ab"; the added tokens are 0 and those from 300 on.
std::unique_ptr<const WorldTokenizer> WithAddedTokens() {
  std::vector<std::string> tokens = SmallTokens();
  tokens.push_back("ab");
  tokens.resize(304);
  tokens[300] = "<x>";
  tokens[301] = "<x><y>";
  tokens[302] = "ab!";
  tokens[303] = "b<";
  auto tokenizer = WorldTokenizer::FromTokens(tokens, "list",
                                              {{"<end>", 0},
                                               {"<x>", 300},
                                               {"<x><y>", 301},
                                               {"ab!", 302, true},
                                               {"b<", 303, true}});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(WorldTokenizerTest, AddedTokensAreFoundFirst) {
  const auto tokenizer = WithAddedTokens();
  const auto id = [](char c) { return static_cast<uint8_t>(c) + 1; };
  const auto encode = [&](const std::string& text) {
    return *tokenizer->Encode(text);
  };
  EXPECT_THAT(encode("<end>"), ElementsAre(0));
  EXPECT_THAT(encode("ab<end>ab"), ElementsAre(257, 0, 257));
  EXPECT_THAT(encode("<end><end>\xff"), ElementsAre(0, 0, 256));
  EXPECT_THAT(encode("<en"), ElementsAre(id('<'), id('e'), id('n')));
  // The leftmost, and the longest of those.
  EXPECT_THAT(encode("<x><y>"), ElementsAre(301));
  EXPECT_THAT(encode("<x><end>"), ElementsAre(300, 0));
  // Those that are searched after normalization come second.
  EXPECT_THAT(encode("ab!"), ElementsAre(302));
  EXPECT_THAT(encode("b<x>"), ElementsAre(id('b'), 300));
  EXPECT_THAT(encode("b<a"), ElementsAre(303, id('a')));
}

TEST(WorldTokenizerTest, AddedTokensAreDecoded) {
  const auto tokenizer = WithAddedTokens();
  EXPECT_EQ(tokenizer->end_of_text(), 0);
  EXPECT_EQ(tokenizer->TokenBytes(0), "");
  EXPECT_EQ(tokenizer->Decode({257, 0, 301, 302}), "ab<x><y>ab!");
  EXPECT_EQ(tokenizer->max_bytes_per_token(), 6);
}

TEST(WorldTokenizerTest, AddedTokensCountTowardTheLimit) {
  const auto tokenizer = WithAddedTokens();
  EXPECT_TRUE(tokenizer->Encode("ab<end><x>", 3).ok());
  for (const int limit : {0, 1, 2}) {
    EXPECT_EQ(tokenizer->Encode("ab<end><x>", limit).status().code(),
              absl::StatusCode::kOutOfRange);
  }
}

class OfficialVocabulary : public ::testing::Test {
 protected:
  void SetUp() override {
    RWKVD_SKIP_WITHOUT_FIXTURES();
    directory_ = TokenizerFixtures() + "/world/";
    vocabulary_ = ReadWholeFile(directory_ + "rwkv_vocab_v20230424.txt");
    tokenizer_ = WorldOf(vocabulary_);
  }

  std::string directory_;
  std::string vocabulary_;
  std::unique_ptr<const WorldTokenizer> tokenizer_;
};

TEST_F(OfficialVocabulary, MatchesVectors) {
  const struct {
    const char* file;
    size_t count;
  } files[] = {{"vectors.jsonl", 260}, {"byte-vectors.jsonl", 95}};
  for (const auto& file : files) {
    const auto vectors = ReadVectors(directory_ + file.file);
    EXPECT_EQ(vectors.size(), file.count);
    for (const TokenizerVector& vector : vectors) {
      EXPECT_EQ(*tokenizer_->Encode(vector.bytes), vector.ids) << vector.bytes;
      EXPECT_EQ(tokenizer_->Decode(vector.ids), vector.bytes);
    }
  }
}

TEST_F(OfficialVocabulary, HasKnownSizeAndTokens) {
  EXPECT_EQ(tokenizer_->size(), 65530);
  size_t longest = 0;
  for (TokenId id = 1; id < 65530; ++id) {
    const absl::string_view token = tokenizer_->TokenBytes(id);
    ASSERT_FALSE(token.empty()) << id;
    ASSERT_THAT(*tokenizer_->Encode(token), ElementsAre(id));
    longest = std::max(longest, token.size());
  }
  EXPECT_EQ(longest, 128u);
  EXPECT_EQ(tokenizer_->TokenBytes(0), "");
}

TEST_F(OfficialVocabulary, RandomBytesRoundTrip) {
  std::mt19937 random(6);
  for (int i = 0; i < 200; ++i) {
    const std::string bytes = RandomBytes(random, 10 * i);
    EXPECT_EQ(tokenizer_->Decode(*tokenizer_->Encode(bytes)), bytes);
  }
}

TEST_F(OfficialVocabulary, DosLineEndsGiveSameTokens) {
  const auto dos = WorldOf(absl::StrReplaceAll(vocabulary_, {{"\n", "\r\n"}}));
  ASSERT_EQ(dos->size(), tokenizer_->size());
  for (TokenId id = 0; id < dos->size(); ++id) {
    ASSERT_EQ(dos->TokenBytes(id), tokenizer_->TokenBytes(id));
  }
}

}  // namespace
}  // namespace rwkvd
