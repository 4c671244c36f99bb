// SPDX-License-Identifier: Apache-2.0
#include "tools/quality/documents.h"

#include <string>

#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

TEST(DocumentsTest, SplitsAtSeparatorsAndTruncates) {
  const auto bytes = *LoadTokenizer("bytes");
  const std::string text("abc\0x\0\0defgh", 12);
  const auto documents = EncodeDocuments(text, std::string(1, '\0'), 4, *bytes);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 2u);  // a single token predicts nothing
  EXPECT_THAT((*documents)[0].tokens, ElementsAre('a', 'b', 'c'));
  EXPECT_EQ((*documents)[0].num_bytes, 2);
  EXPECT_THAT((*documents)[1].tokens, ElementsAre('d', 'e', 'f', 'g'));
  EXPECT_EQ((*documents)[1].num_bytes, 3);
}

TEST(DocumentsTest, SeparatorCanHaveSeveralBytes) {
  const auto bytes = *LoadTokenizer("bytes");
  const std::string text(
      "a\0b\0\xff\xff"
      "c\0",
      8);
  const auto documents = EncodeDocuments(text, "\xff\xff", 100, *bytes);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 2u);
  EXPECT_THAT((*documents)[0].tokens, ElementsAre('a', 0, 'b', 0));
  EXPECT_THAT((*documents)[1].tokens, ElementsAre('c', 0));
}

// Then every token of the text is predicted.
TEST(DocumentsTest, DocumentsBeginWithTheEndOfTextTokenIfThereIsOne) {
  const auto world = LoadTokenizer("models/demo/rwkv_vocab_demo.txt");
  ASSERT_TRUE(world.ok()) << world.status();
  const auto documents =
      EncodeDocuments("whale", std::string(1, '\0'), 100, **world);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 1u);
  EXPECT_EQ((*documents)[0].tokens[0], 0);
  EXPECT_EQ((*documents)[0].num_bytes, 5);
}

}  // namespace
}  // namespace rwkvd
