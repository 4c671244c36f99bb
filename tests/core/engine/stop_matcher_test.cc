// SPDX-License-Identifier: Apache-2.0
#include "core/engine/stop_matcher.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

struct Outcome {
  std::string released;
  std::optional<int64_t> hit;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// The expected hit, found by searching at every position without an automaton.
Outcome OutcomeByDefinition(const std::vector<std::string>& stops,
                            const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string seen = text.substr(0, end);
    Outcome outcome;
    for (size_t i = 0; i < stops.size(); ++i) {
      const bool ends = seen.size() >= stops[i].size() &&
                        seen.substr(end - stops[i].size()) == stops[i];
      if (ends && (!outcome.hit.has_value() ||
                   stops[i].size() > stops[*outcome.hit].size())) {
        outcome.hit = i;
      }
    }
    if (outcome.hit.has_value()) {
      outcome.released = seen.substr(0, end - stops[*outcome.hit].size());
      return outcome;
    }
  }
  return {text, std::nullopt};
}

// The longest suffix of `text` that is a proper prefix of a stop string.
size_t HeldBackByDefinition(const std::vector<std::string>& stops,
                            const std::string& text) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t n = 1; n < stop.size() && n <= text.size(); ++n) {
      if (text.substr(text.size() - n) == stop.substr(0, n)) {
        longest = std::max(longest, n);
      }
    }
  }
  return longest;
}

// Appends `pieces`. Checks the withheld bytes after each, and the result.
void ExpectMatches(const std::vector<std::string>& stops,
                   const std::vector<std::string>& pieces) {
  SCOPED_TRACE(::testing::PrintToString(stops) +
               ::testing::PrintToString(pieces));
  StopMatcher matcher(stops);
  std::string seen;
  Outcome outcome;
  for (const std::string& piece : pieces) {
    const StopMatcher::Result result = matcher.Append(piece);
    seen += piece;
    outcome.released += result.released;
    outcome.hit = result.hit;
    if (outcome.hit.has_value()) break;
    ASSERT_EQ(outcome.released.size(),
              seen.size() - HeldBackByDefinition(stops, seen));
  }
  const std::string flushed = matcher.Flush();
  if (outcome.hit.has_value()) {
    ASSERT_EQ(flushed, "");
  }
  outcome.released += flushed;
  const Outcome expected = OutcomeByDefinition(stops, seen);
  ASSERT_EQ(outcome.released, expected.released);
  ASSERT_EQ(outcome.hit, expected.hit);
}

// All strings of 1 to `longest` letters of `alphabet`.
std::vector<std::string> AllStrings(const std::string& alphabet,
                                    size_t longest) {
  std::vector<std::string> strings = {""};
  for (size_t i = 0; strings[i].size() < longest; ++i) {
    for (const char letter : alphabet) strings.push_back(strings[i] + letter);
  }
  strings.erase(strings.begin());
  return strings;
}

TEST(StopMatcherTest, WithoutStopStringsReleasesEverything) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.Append("anything").released, "anything");
  EXPECT_EQ(matcher.Append("").released, "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, WithholdsOnlyPossibleBeginningsOfStopStrings) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.Append("Hello\n").released, "Hello");
  EXPECT_EQ(matcher.Append("\n").released, "");
  EXPECT_EQ(matcher.Append("\n").released, "\n");
  EXPECT_EQ(matcher.Append("Use").released, "");
  EXPECT_EQ(matcher.Append("less").released, "\n\nUseless");
  EXPECT_EQ(matcher.Append("\n\nUs").released, "");
  EXPECT_EQ(matcher.Flush(), "\n\nUs");
}

TEST(StopMatcherTest, FindsStopStringAcrossPiecesAndDropsTheRest) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.Append("do not s").released, "do not ");
  EXPECT_EQ(matcher.Append("to").hit, std::nullopt);
  const StopMatcher::Result result = matcher.Append("p here");
  EXPECT_EQ(result.hit, 0);
  EXPECT_EQ(result.released, "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, EarliestEndWinsThenLongestString) {
  EXPECT_EQ(StopMatcher({"abcd", "bc"}).Append("xabcd").hit, 1);
  EXPECT_EQ(StopMatcher({"abcd", "bc"}).Append("xabcd").released, "xa");
  EXPECT_EQ(StopMatcher({"c", "abc", "bc"}).Append("abc").hit, 1);
  EXPECT_EQ(StopMatcher({"c", "abc", "bc"}).Append("xabc").released, "x");
}

TEST(StopMatcherTest, StopStringsMayContainAnyBytes) {
  const std::string zero("\0\xff", 2);
  StopMatcher matcher({zero});
  EXPECT_EQ(matcher.Append(std::string("a\0", 2)).released, "a");
  EXPECT_EQ(matcher.Append("\xff").hit, 0);
}

TEST(StopMatcherTest, EqualsSearchForEveryStringTextAndSplit) {
  const std::vector<std::string> stops = AllStrings("ab", 4);
  const std::vector<std::string> texts = AllStrings("ab", 8);
  for (const std::string& stop : stops) {
    for (const std::string& text : texts) {
      std::vector<std::string> letters;
      for (const char letter : text) letters.push_back({letter});
      ExpectMatches({stop}, letters);
      for (size_t cut = 0; cut <= text.size(); ++cut) {
        ExpectMatches({stop}, {text.substr(0, cut), text.substr(cut)});
      }
    }
  }
}

TEST(StopMatcherTest, EqualsSearchForEveryPairOfStrings) {
  const std::vector<std::string> stops = AllStrings("abc", 3);
  const std::vector<std::string> texts = AllStrings("abc", 5);
  for (const std::string& a : stops) {
    for (const std::string& b : stops) {
      for (size_t i = texts.size() - 243; i < texts.size(); i += 2) {
        const std::string& text = texts[i];
        ExpectMatches({a, b}, {text.substr(0, 2), text.substr(2)});
      }
    }
  }
}

TEST(StopMatcherTest, EqualsSearchForManyLongStringsInRandomText) {
  std::mt19937 random(5);
  const auto random_string = [&](size_t size) {
    std::string s;
    while (s.size() < size) s += "ab"[random() % 8 == 0];
    return s;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> stops;
    for (int i = 0; i < 16; ++i) {
      stops.push_back(random_string(10 + random() % 20));
    }
    std::vector<std::string> pieces;
    for (int i = 0; i < 40; ++i) pieces.push_back(random_string(random() % 9));
    ExpectMatches(stops, pieces);
  }
}

}  // namespace
}  // namespace rwkvd
