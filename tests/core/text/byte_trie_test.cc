// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_trie.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/core/text/small_files.h"

namespace rwkvd {
namespace {

ByteTrie MakeTrie(const std::map<std::string, int32_t>& keys) {
  std::vector<ByteTrie::Entry> entries;
  for (const auto& [key, value] : keys) entries.push_back({key, value});
  return ByteTrie(std::move(entries));
}

TEST(ByteTrieTest, ReturnsLongestKey) {
  const ByteTrie trie = MakeTrie({{"a", 1}, {"ab", 2}, {"abcd", 3}});
  EXPECT_EQ(trie.LongestPrefix("abcde").value, 3);
  EXPECT_EQ(trie.LongestPrefix("abcd").length, 4u);
  EXPECT_EQ(trie.LongestPrefix("abcx").value,
            2);  // the search goes further than the match
  EXPECT_EQ(trie.LongestPrefix("abc").length, 2u);
  EXPECT_EQ(trie.LongestPrefix("ax").value, 1);
}

TEST(ByteTrieTest, NoMatchReturnsMinusOne) {
  const ByteTrie trie = MakeTrie({{"ab", 0}});
  for (const char* text : {"", "a", "b", "xab", "a\xff"}) {
    EXPECT_EQ(trie.LongestPrefix(text).value, -1) << text;
    EXPECT_EQ(trie.LongestPrefix(text).length, 0u) << text;
  }
  EXPECT_EQ(ByteTrie({}).LongestPrefix("a").value, -1);
}

TEST(ByteTrieTest, AllSingleBytesAreDistinct) {
  std::map<std::string, int32_t> keys;
  for (int i = 0; i < 256; ++i) keys[{static_cast<char>(i), '\0'}] = i;
  const ByteTrie trie = MakeTrie(keys);
  for (const auto& [key, value] : keys) {
    EXPECT_EQ(trie.LongestPrefix(key).value, value);
  }
}

TEST(ByteTrieTest, MatchesLinearSearchOnRandomSets) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const int num_letters = 1 + static_cast<int>(random() % 4);
    const auto random_text = [&](size_t max_length) {
      std::string text(random() % (max_length + 1), 'x');
      for (char& c : text) c = static_cast<char>(254 + random() % num_letters);
      return text;
    };
    std::map<std::string, int32_t> keys;
    for (int i = 0; i < 30; ++i) keys.emplace(random_text(5), i);
    keys.erase("");
    const ByteTrie trie = MakeTrie(keys);
    for (int i = 0; i < 100; ++i) {
      const std::string text = random_text(8);
      int32_t value = -1;
      size_t length = 0;
      for (const auto& [key, id] : keys) {
        if (!absl::StartsWith(text, key) || key.size() <= length) continue;
        value = id;
        length = key.size();
      }
      EXPECT_EQ(trie.LongestPrefix(text).value, value);
      EXPECT_EQ(trie.LongestPrefix(text).length, length);
    }
  }
}

}  // namespace
}  // namespace rwkvd
