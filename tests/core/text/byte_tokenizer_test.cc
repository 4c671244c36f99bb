// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_tokenizer.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/text/small_files.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ByteTokenizerTest, IdIsByteValue) {
  const ByteTokenizer tokenizer;
  EXPECT_THAT(*tokenizer.Encode(std::string("a\0\xff\x80", 4)),
              ElementsAre(97, 0, 255, 128));
  EXPECT_THAT(*tokenizer.Encode(""), IsEmpty());
}

TEST(ByteTokenizerTest, RandomBytesRoundTrip) {
  const ByteTokenizer tokenizer;
  std::mt19937 random(1);
  for (size_t length : {0, 1, 2, 17, 1000}) {
    const std::string bytes = RandomBytes(random, length);
    EXPECT_EQ(tokenizer.Decode(*tokenizer.Encode(bytes)), bytes);
  }
}

TEST(ByteTokenizerTest, IdsOutsideVocabularyHaveNoBytes) {
  const ByteTokenizer tokenizer;
  for (const TokenId id : {-1, 256, 1 << 30, -2147483647 - 1}) {
    EXPECT_EQ(tokenizer.TokenBytes(id), "") << id;
  }
  EXPECT_EQ(tokenizer.TokenBytes(0), absl::string_view("\0", 1));
}

TEST(ByteTokenizerTest, ReportsKindSizeAndEndOfText) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(tokenizer.size(), 256);
  EXPECT_EQ(tokenizer.kind(), "bytes");
  EXPECT_EQ(tokenizer.end_of_text(), std::nullopt);
}

}  // namespace
}  // namespace rwkvd
