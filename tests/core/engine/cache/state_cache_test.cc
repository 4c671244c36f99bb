// SPDX-License-Identifier: Apache-2.0
#include "core/engine/cache/state_cache.h"

#include <algorithm>
#include <cstdint>
#include <list>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/process_memory.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Tokens = std::vector<int32_t>;

constexpr int64_t kPlenty = 1 << 20;

// A state and logits that identify the tokens they belong to.
State StateOf(const Tokens& tokens) {
  std::vector<float> values = {static_cast<float>(tokens.size())};
  for (int i = 0; i < 7; ++i) {
    values.push_back(tokens[i % tokens.size()] * 3.5f);
  }
  return State(values);
}
std::vector<float> LogitsOf(const Tokens& tokens) {
  return {tokens.back() * 2.0f, tokens.front() + 1.0f};
}

void Store(StateCache* cache, const Tokens& tokens, int32_t initial_state = 0) {
  cache->Store(initial_state, tokens, StateOf(tokens), LogitsOf(tokens));
}

void StoreWithoutLogits(StateCache* cache, const Tokens& tokens) {
  cache->Store(0, tokens, StateOf(tokens), {});
}

absl::Status Pin(StateCache* cache, const std::string& name,
                 const Tokens& tokens,
                 absl::Time expires = absl::InfiniteFuture()) {
  return cache->Pin(name, expires, 0, tokens, StateOf(tokens),
                    LogitsOf(tokens));
}

// The length of the prefix that Lookup finds, 0 if none. Checks its contents.
int64_t LengthFound(StateCache* cache, const Tokens& tokens,
                    int32_t initial_state = 0) {
  const auto known = cache->Lookup(initial_state, tokens).known;
  if (known == nullptr) return 0;
  const Tokens prefix(tokens.begin(), tokens.begin() + known->num_tokens);
  EXPECT_EQ(known->state, StateOf(prefix));
  if (!known->logits.empty()) {
    EXPECT_EQ(known->logits, LogitsOf(prefix));
  }
  return known->num_tokens;
}

int64_t BytesOf(const Tokens& tokens) {
  StateCache cache({kPlenty});
  Store(&cache, tokens);
  return cache.figures().bytes;
}

TEST(StateCacheTest, LookupFindsTheLongestPrefix) {
  StateCache cache({kPlenty});
  for (const Tokens& tokens : {Tokens{1}, {1, 2, 3}, {1, 2, 3, 4, 5}, {7, 2}}) {
    Store(&cache, tokens);
  }
  EXPECT_EQ(LengthFound(&cache, {1, 2}), 1);
  EXPECT_EQ(LengthFound(&cache, {1, 2, 3}), 3);
  EXPECT_EQ(LengthFound(&cache, {1, 2, 3, 4}), 3);
  EXPECT_EQ(LengthFound(&cache, {1, 2, 3, 4, 5, 6}), 5);
  EXPECT_EQ(LengthFound(&cache, {7, 2, 9}), 2);
  EXPECT_EQ(LengthFound(&cache, {7}), 0);
  EXPECT_EQ(LengthFound(&cache, {2, 1}), 0);
  EXPECT_EQ(LengthFound(&cache, {}), 0);
}

TEST(StateCacheTest, LookupReturnsTheNumberOfSharedTokens) {
  StateCache cache({kPlenty});
  Store(&cache, {1, 2, 3, 4, 5});
  EXPECT_EQ(cache.Lookup(0, {1, 2, 3, 9}).num_shared, 3);
  EXPECT_EQ(cache.Lookup(0, {1, 2, 3, 4, 5, 6}).num_shared, 5);
  EXPECT_EQ(cache.Lookup(0, {2}).num_shared, 0);
  EXPECT_EQ(cache.Lookup(1, {1, 2}).num_shared, 0);
}

TEST(StateCacheTest, StateWithoutLogitsServesLongerPromptsOnly) {
  StateCache cache({kPlenty});
  StoreWithoutLogits(&cache, {1, 2});
  EXPECT_EQ(LengthFound(&cache, {1, 2}), 0);
  EXPECT_EQ(LengthFound(&cache, {1, 2, 3}), 2);
  const int64_t bytes = cache.figures().bytes;
  Store(&cache, {1, 2});
  EXPECT_EQ(cache.figures().bytes, bytes + 2 * 4);
  EXPECT_EQ(cache.figures().entries, 1);
  EXPECT_EQ(LengthFound(&cache, {1, 2}), 2);
  StoreWithoutLogits(&cache, {1, 2});  // keeps the logits
  EXPECT_EQ(LengthFound(&cache, {1, 2}), 2);
}

TEST(StateCacheTest, FiguresCountAllBytes) {
  StateCache cache({kPlenty});
  EXPECT_EQ(cache.figures().bytes, 0);
  Store(&cache, {1, 2});
  const int64_t two = cache.figures().bytes;
  // 2 tokens, 8 floats of state, 2 logits, and the overhead of an entry.
  EXPECT_GE(two, 2 * 4 + 8 * 4 + 2 * 4);
  Store(&cache, {1, 2, 3});  // the first two tokens are stored
  EXPECT_EQ(cache.figures().bytes, two + two - 2 * 5 + 5);
  Store(&cache, {1, 2, 3});  // stored already
  EXPECT_EQ(cache.figures().bytes, two + two - 2 * 5 + 5);
  EXPECT_EQ(cache.figures().entries, 2);
  EXPECT_EQ(cache.figures().evictions, 0);
}

TEST(StateCacheTest, EvictsLeastRecentlyUsed) {
  StateCache cache({3 * BytesOf({0})});
  for (int32_t i = 1; i <= 3; ++i) Store(&cache, {i});
  EXPECT_EQ(LengthFound(&cache, {1}), 1);  // used, so {2} is the oldest now
  Store(&cache, {4});
  EXPECT_EQ(LengthFound(&cache, {2}), 0);
  Store(&cache, {3});  // stored again, so it is used
  Store(&cache, {5});
  EXPECT_EQ(LengthFound(&cache, {1}), 0);
  for (const int32_t i : {3, 4, 5}) EXPECT_EQ(LengthFound(&cache, {i}), 1);
  EXPECT_EQ(cache.figures().evictions, 2);
  EXPECT_EQ(cache.figures().entries, 3);
}

TEST(StateCacheTest, DoesNotStorePrefixLargerThanTheLimit) {
  StateCache none({0});
  Store(&none, {1});
  EXPECT_EQ(none.figures().entries, 0);
  StateCache small({BytesOf({1})});
  Store(&small, {1});
  Store(&small, {1, 2});
  EXPECT_EQ(LengthFound(&small, {1, 2}), 1);
  EXPECT_EQ(small.figures().evictions, 0);
}

TEST(StateCacheTest, LookupResultOutlivesItsEntry) {
  StateCache cache({BytesOf({0})});
  Store(&cache, {1});
  const auto known = cache.Lookup(0, {1}).known;
  Store(&cache, {2});
  EXPECT_EQ(LengthFound(&cache, {1}), 0);
  EXPECT_EQ(known->state, StateOf({1}));
}

TEST(StateCacheTest, PrefixesOfDifferentInitialStatesAreSeparate) {
  StateCache cache({kPlenty});
  Store(&cache, {1, 2}, 0);
  EXPECT_EQ(LengthFound(&cache, {1, 2, 3}, 1), 0);
  Store(&cache, {1, 2}, 1);
  Store(&cache, {1}, 2);
  EXPECT_EQ(cache.figures().entries, 3);
  EXPECT_EQ(LengthFound(&cache, {1, 2}, 0), 2);
  EXPECT_EQ(LengthFound(&cache, {1, 2}, 1), 2);
  EXPECT_EQ(LengthFound(&cache, {1, 2}, 2), 1);
}

TEST(StateCacheTest, PrefixesOfDifferentPartitionsAreSeparate) {
  StateCache cache({kPlenty});
  cache.Store({0, "a"}, {1, 2}, StateOf({1, 2}), LogitsOf({1, 2}));
  EXPECT_EQ(cache.Lookup({0, "b"}, {1, 2, 3}).num_shared, 0);
  EXPECT_EQ(cache.Lookup({0, "b"}, {1, 2, 3}).known, nullptr);
  EXPECT_EQ(cache.Lookup(0, {1, 2, 3}).known, nullptr);
  EXPECT_EQ(cache.Lookup({0, "a"}, {1, 2, 3}).num_shared, 2);
  EXPECT_NE(cache.Lookup({0, "a"}, {1, 2, 3}).known, nullptr);
}

TEST(StateCacheTest, PartitionsShareTheLimitOfBytes) {
  StateCache cache({BytesOf({1}), 0, 0});
  for (const char* partition : {"a", "b", "c"}) {
    cache.Store({0, partition}, {1}, StateOf({1}), LogitsOf({1}));
  }
  EXPECT_EQ(cache.figures().entries, 1);
  EXPECT_EQ(cache.figures().evictions, 2);
  EXPECT_NE(cache.Lookup({0, "c"}, {1, 2}).known, nullptr);
}

TEST(StateCacheTest, PinsOfDifferentPartitionsAreSeparate) {
  StateCache cache({kPlenty, kPlenty, 8});
  const auto pin = [&](const char* name, const char* partition,
                       int64_t max_names) {
    return cache.Pin(name, absl::InfiniteFuture(), {0, partition}, {1},
                     StateOf({1}), LogitsOf({1}), max_names);
  };
  ASSERT_TRUE(pin("x", "a", 2).ok());
  ASSERT_TRUE(pin("x", "b", 2).ok());
  ASSERT_TRUE(pin("y", "a", 2).ok());
  EXPECT_TRUE(pin("y", "a", 2).ok()) << "replaces a pin";
  EXPECT_EQ(pin("z", "a", 2).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(cache.Pinned().empty());
  EXPECT_EQ(cache.Pinned("a").size(), 2);
  EXPECT_FALSE(cache.Unpin("y", "b"));
  EXPECT_FALSE(cache.Unpin("x"));
  EXPECT_TRUE(cache.Unpin("x", "b"));
  EXPECT_EQ(cache.Pinned("a").size(), 2);
}

TEST(StateCacheTest, PinnedPrefixIsNotEvicted) {
  const int64_t one = BytesOf({0, 0});
  StateCache cache({one, one, 1});
  ASSERT_TRUE(Pin(&cache, "a", {1, 1}).ok());
  for (int32_t i = 2; i < 9; ++i) Store(&cache, {i, i});
  EXPECT_EQ(LengthFound(&cache, {1, 1, 2}), 2);
  EXPECT_EQ(LengthFound(&cache, {8, 8}), 2);  // counted separately
  EXPECT_EQ(cache.figures().entries, 2);
  EXPECT_EQ(cache.figures().pinned, 1);
  EXPECT_LE(cache.figures().bytes, 2 * one);

  // Without its pin it is an ordinary prefix, the most recently used one.
  EXPECT_TRUE(cache.Unpin("a"));
  EXPECT_FALSE(cache.Unpin("a"));
  EXPECT_EQ(cache.figures().entries, 1);
  EXPECT_EQ(LengthFound(&cache, {1, 1}), 2);
  Store(&cache, {9, 9});
  EXPECT_EQ(LengthFound(&cache, {1, 1}), 0);
}

TEST(StateCacheTest, PinOfStoredPrefixMovesItsBytes) {
  StateCache cache({kPlenty, kPlenty, 8});
  StoreWithoutLogits(&cache, {1, 2});
  ASSERT_TRUE(Pin(&cache, "a", {1, 2}).ok());
  ASSERT_TRUE(Pin(&cache, "b", {1, 2}).ok());
  EXPECT_EQ(LengthFound(&cache, {1, 2}), 2);
  EXPECT_EQ(cache.figures().entries, 1);
  EXPECT_EQ(cache.figures().bytes, BytesOf({1, 2}));
  const auto pinned = cache.Pinned();
  ASSERT_EQ(pinned.size(), 2);
  EXPECT_EQ(pinned[1].name, "b");
  EXPECT_EQ(pinned[1].num_tokens, 2);
  EXPECT_EQ(pinned[1].bytes, BytesOf({1, 2}));
  Store(&cache, {1, 2});
  EXPECT_TRUE(cache.Unpin("b"));
  EXPECT_TRUE(cache.Unpin("a"));
  EXPECT_EQ(cache.figures().entries, 1);
}

TEST(StateCacheTest, PinOfUsedNameReplacesThePin) {
  const int64_t one = BytesOf({0});
  StateCache cache({one, one, 1});
  ASSERT_TRUE(Pin(&cache, "a", {1}).ok());
  ASSERT_TRUE(Pin(&cache, "a", {1}, absl::UnixEpoch()).ok());
  EXPECT_EQ(cache.Pinned()[0].expires, absl::UnixEpoch());
  ASSERT_TRUE(Pin(&cache, "a", {2}).ok());
  Store(&cache, {3});
  EXPECT_EQ(LengthFound(&cache, {1}), 0);
  EXPECT_EQ(LengthFound(&cache, {2}), 1);
}

TEST(StateCacheTest, PinFailsBeyondLimitOfNamesOrBytes) {
  const int64_t one = BytesOf({0});
  StateCache cache({kPlenty, 2 * one, 2});
  ASSERT_TRUE(Pin(&cache, "a", {1}).ok());
  ASSERT_TRUE(Pin(&cache, "b", {1}).ok());
  absl::Status refused = Pin(&cache, "c", {1});
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("2 prefixes"));
  ASSERT_TRUE(Pin(&cache, "b", {2}).ok());
  refused = Pin(&cache, "a", Tokens(300, 3));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("bytes"));
  // Nothing was changed.
  EXPECT_EQ(LengthFound(&cache, {1}), 1);
  EXPECT_EQ(cache.figures().entries, 2);
  EXPECT_EQ(cache.figures().pinned, 2);
}

TEST(StateCacheTest, ExpireRemovesExpiredPins) {
  StateCache cache({kPlenty, kPlenty, 8});
  const absl::Time start = absl::UnixEpoch();
  ASSERT_TRUE(Pin(&cache, "a", {1}, start + absl::Seconds(1)).ok());
  ASSERT_TRUE(Pin(&cache, "b", {2}, start + absl::Seconds(2)).ok());
  ASSERT_TRUE(Pin(&cache, "c", {3}).ok());
  cache.Expire(start);
  EXPECT_EQ(cache.figures().pinned, 3);
  cache.Expire(start + absl::Seconds(1));
  EXPECT_EQ(cache.figures().pinned, 2);
  EXPECT_FALSE(cache.Unpin("a"));
  cache.Expire(absl::FromUnixSeconds(1 << 30));
  EXPECT_EQ(cache.figures().pinned, 1);
  EXPECT_EQ(cache.figures().entries, 3);  // not evicted yet
}

// A cache that searches a list. The first token stands for the initial state.
class SlowCache {
 public:
  explicit SlowCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  int64_t Lookup(const Tokens& tokens) {
    auto best = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      const bool is_prefix = it->size() <= tokens.size() &&
                             std::equal(it->begin(), it->end(), tokens.begin());
      if (is_prefix && (best == entries_.end() || it->size() > best->size())) {
        best = it;
      }
    }
    if (best == entries_.end()) return 0;
    entries_.splice(entries_.begin(), entries_, best);
    return static_cast<int64_t>(best->size()) - 1;
  }

  void Store(const Tokens& tokens) {
    const auto known = std::find(entries_.begin(), entries_.end(), tokens);
    if (known != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, known);
      return;
    }
    // Room for all tokens, although some may be shared.
    while (!entries_.empty() && bytes() + BytesOf(tokens) > max_bytes_) {
      entries_.pop_back();
    }
    entries_.push_front(tokens);
  }

  int64_t bytes() const {
    std::set<Tokens> prefixes;
    int64_t bytes = 0;
    for (const Tokens& tokens : entries_) {
      bytes += BytesOf(tokens) - 5 * static_cast<int64_t>(tokens.size() - 1);
      for (size_t n = 2; n <= tokens.size(); ++n) {
        prefixes.insert({tokens.begin(), tokens.begin() + n});
      }
    }
    return bytes + 5 * static_cast<int64_t>(prefixes.size());
  }

 private:
  static int64_t BytesOf(const Tokens& tokens) {
    return rwkvd::BytesOf({tokens.begin() + 1, tokens.end()});
  }

  const int64_t max_bytes_;
  std::list<Tokens> entries_;
};

TEST(StateCacheTest, RandomUseEqualsASimpleCache) {
  std::mt19937 random(8);
  StateCache cache({8000});
  SlowCache slow(8000);
  for (int i = 0; i < 5000; ++i) {
    Tokens tokens(1 + random() % 6);
    for (int32_t& token : tokens) token = random() % 3;
    const int32_t initial_state = random() % 3;
    Tokens all = tokens;
    all.insert(all.begin(), initial_state);
    if (random() % 2 == 0) {
      ASSERT_EQ(LengthFound(&cache, tokens, initial_state), slow.Lookup(all));
    } else {
      Store(&cache, tokens, initial_state);
      slow.Store(all);
    }
    ASSERT_EQ(cache.figures().bytes, slow.bytes());
  }
  EXPECT_GT(cache.figures().evictions, 100);
}

TEST(StateCacheTest, RandomUseStaysWithinTheLimits) {
  std::mt19937 random(9);
  StateCache cache({3000, 2000, 3});
  for (int i = 0; i < 20000; ++i) {
    Tokens tokens(1 + random() % 9);
    for (int32_t& token : tokens) token = random() % 2;
    const std::string name(1, static_cast<char>('a' + random() % 5));
    switch (random() % 5) {
      case 0:
        (void)Pin(&cache, name, tokens);
        break;
      case 1:
        cache.Unpin(name);
        break;
      case 2:
        StoreWithoutLogits(&cache, tokens);
        break;
      case 3:
        Store(&cache, tokens);
        break;
      default:
        LengthFound(&cache, tokens);
    }
    ASSERT_LE(cache.figures().bytes, 5000);
    ASSERT_LE(cache.figures().pinned, 3);
  }
}

TEST(StateCacheTest, CountsAtLeastWhatItAllocates) {
  // Prompts that branch at every token, random ones, and a long one.
  std::mt19937 random(4);
  const int64_t before = testing::AllocatedBytes();
  StateCache cache({.max_bytes = 64 << 20});
  Store(&cache, Tokens(100000, 1));
  for (size_t i = 3000; i > 0; --i) {
    Tokens tokens(i, 1);
    tokens.push_back(2);
    Store(&cache, tokens);
  }
  for (int i = 0; i < 3000; ++i) {
    Tokens tokens(1 + random() % 40);
    for (int32_t& token : tokens) token = 3 + random() % 1000;
    Store(&cache, tokens);
  }
  EXPECT_LE(testing::AllocatedBytes() - before, cache.figures().bytes);
}

TEST(StateCacheTest, NodeThatHadManyChildrenShrinks) {
  const int64_t before = testing::AllocatedBytes();
  StateCache cache({.max_bytes = 4 << 20});
  for (int32_t i = 0; i < 3000; ++i) Store(&cache, {1, i});
  for (int32_t i = 0; i < 3000; ++i) Store(&cache, {2 + i % 40, i});
  for (int32_t i = 0; i < 10; ++i) Store(&cache, Tokens(100000, 50 + i));
  EXPECT_LE(testing::AllocatedBytes() - before, cache.figures().bytes);
}

}  // namespace
}  // namespace rwkvd
