// SPDX-License-Identifier: Apache-2.0
#include "core/engine/state_cache.h"

#include <algorithm>
#include <cstdint>
#include <list>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using Tokens = std::vector<int32_t>;

// A state and logits that tell which tokens they belong to.
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

// The length of the prefix found; 0 if none. Checks that it is what was stored.
size_t LengthFound(StateCache* cache, const Tokens& tokens,
                   int32_t initial_state = 0) {
  const auto known = cache->Lookup(initial_state, tokens);
  if (known == nullptr) return 0;
  EXPECT_EQ(known->initial_state, initial_state);
  const Tokens prefix(tokens.begin(), tokens.begin() + known->tokens.size());
  EXPECT_EQ(known->tokens, prefix);
  EXPECT_EQ(known->state, StateOf(prefix));
  EXPECT_EQ(known->logits, LogitsOf(prefix));
  return prefix.size();
}

int64_t BytesOf(const Tokens& tokens) {
  StateCache cache(1 << 20);
  Store(&cache, tokens);
  return cache.bytes();
}

TEST(StateCacheTest, FindsTheLongestPrefix) {
  StateCache cache(1 << 20);
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

TEST(StateCacheTest, AccountsForEveryByte) {
  StateCache cache(1 << 20);
  EXPECT_EQ(cache.bytes(), 0);
  Store(&cache, {1, 2});
  const int64_t two = cache.bytes();
  // 2 tokens, 8 floats of state, 2 logits, and something for the entry.
  EXPECT_GE(two, 2 * 4 + 8 * 4 + 2 * 4);
  Store(&cache, {1, 2, 3});
  EXPECT_EQ(cache.bytes(), two + two + 4);
  Store(&cache, {1, 2, 3});  // known already
  EXPECT_EQ(cache.bytes(), two + two + 4);
  EXPECT_EQ(cache.entries(), 2);
  EXPECT_EQ(cache.evictions(), 0);
}

TEST(StateCacheTest, DropsWhatWasUsedLongestAgo) {
  StateCache cache(3 * BytesOf({0}));
  for (int32_t i = 1; i <= 3; ++i) Store(&cache, {i});
  EXPECT_EQ(LengthFound(&cache, {1}), 1);  // used: now 2 is the oldest
  Store(&cache, {4});
  EXPECT_EQ(LengthFound(&cache, {2}), 0);
  Store(&cache, {3});  // stored again: used
  Store(&cache, {5});
  EXPECT_EQ(LengthFound(&cache, {1}), 0);
  for (const int32_t i : {3, 4, 5}) EXPECT_EQ(LengthFound(&cache, {i}), 1);
  EXPECT_EQ(cache.evictions(), 2);
  EXPECT_EQ(cache.entries(), 3);
}

TEST(StateCacheTest, LeavesOutWhatNeverFits) {
  StateCache none(0);
  Store(&none, {1});
  EXPECT_EQ(none.entries(), 0);
  StateCache small(BytesOf({1}));
  Store(&small, {1});
  Store(&small, {1, 2});
  EXPECT_EQ(LengthFound(&small, {1, 2}), 1);
  EXPECT_EQ(small.evictions(), 0);
}

TEST(StateCacheTest, WhatWasLookedUpOutlivesItsEntry) {
  StateCache cache(BytesOf({0}));
  Store(&cache, {1});
  const auto known = cache.Lookup(0, {1});
  Store(&cache, {2});
  EXPECT_EQ(LengthFound(&cache, {1}), 0);
  EXPECT_EQ(known->state, StateOf({1}));
}

TEST(StateCacheTest, TokensOfTheSameHashAreNeverTakenForEachOther) {
  StateCache cache(1 << 20, /*hash_mask=*/0);  // all collide
  Store(&cache, {1, 2});
  EXPECT_EQ(LengthFound(&cache, {3, 4}), 0);
  EXPECT_EQ(LengthFound(&cache, {1, 2, 3}), 2);
  Store(&cache, {3, 4});
  EXPECT_EQ(LengthFound(&cache, {3, 4}), 2);
  EXPECT_EQ(LengthFound(&cache, {1, 2}), 0);
  EXPECT_EQ(cache.entries(), 1);
  EXPECT_EQ(cache.bytes(), BytesOf({3, 4}));
}

TEST(StateCacheTest, PrefixesOfDifferentInitialStatesAreKeptApart) {
  // As they are, and where all collide.
  for (const uint64_t hash_mask : {~uint64_t{0}, uint64_t{0}}) {
    StateCache cache(1 << 20, hash_mask);
    Store(&cache, {1, 2}, 0);
    EXPECT_EQ(LengthFound(&cache, {1, 2, 3}, 1), 0);
    EXPECT_EQ(LengthFound(&cache, {1, 2, 3}, 0), 2);
    Store(&cache, {1, 2}, 1);
    Store(&cache, {1}, 2);
    EXPECT_EQ(LengthFound(&cache, {1, 2}, 2), 1);
  }
  StateCache cache(1 << 20);
  Store(&cache, {1, 2}, 0);
  Store(&cache, {1, 2}, 1);
  EXPECT_EQ(cache.entries(), 2);
  EXPECT_EQ(LengthFound(&cache, {1, 2}, 0), 2);
  EXPECT_EQ(LengthFound(&cache, {1, 2}, 1), 2);
  // An initial state is no token.
  Store(&cache, {2, 7}, 3);
  EXPECT_EQ(LengthFound(&cache, {3, 2, 7}, 0), 0);
}

// A list searched from end to end. The first of the tokens stands for the
// initial state.
class SlowCache {
 public:
  explicit SlowCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  size_t Lookup(const Tokens& tokens) {
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
    return best->size() - 1;
  }

  void Store(const Tokens& tokens) {
    entries_.remove(tokens);
    entries_.push_front(tokens);
    while (bytes() > max_bytes_) entries_.pop_back();
  }

  int64_t bytes() const {
    int64_t bytes = 0;
    for (const Tokens& tokens : entries_) {
      bytes += BytesOf({tokens.begin() + 1, tokens.end()});
    }
    return bytes;
  }

 private:
  const int64_t max_bytes_;
  std::list<Tokens> entries_;
};

TEST(StateCacheTest, EqualsASlowCacheOnRandomUse) {
  std::mt19937 random(8);
  StateCache cache(3000);
  SlowCache slow(3000);
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
    ASSERT_EQ(cache.bytes(), slow.bytes());
  }
  EXPECT_GT(cache.evictions(), 100);
}

}  // namespace
}  // namespace rwkvd
