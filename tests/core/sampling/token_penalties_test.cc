// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "core/sampling/penalties.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using Entries = std::vector<TokenCounts::Entry>;

TEST(RepetitionTest, DividesPositiveLogitsAndMultipliesOthers) {
  std::vector<float> logits = {3.0f, -3.0f, 3.0f, 0.0f};
  PenalizeRepetition(Entries{{.id = 0}, {.id = 1}, {.id = 3}}, 1.5f,
                     absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(2.0f, -4.5f, 3.0f, 0.0f));
}

TEST(PresenceAndFrequencyTest, SubtractsPresenceOnceAndFrequencyPerCount) {
  std::vector<float> logits = {1.0f, 1.0f, 1.0f};
  PenalizePresenceAndFrequency(
      Entries{{.id = 0, .count = 3}, {.id = 2, .count = 0}}, 0.5, 0.25,
      absl::MakeSpan(logits));
  // 1 - 0.5 - 3 * 0.25; unchanged; 1 - 0.5.
  EXPECT_THAT(logits, ElementsAre(-0.25f, 1.0f, 0.5f));
}

TEST(TokenPenaltiesTest, IdsBeyondLogitsAreIgnored) {
  std::vector<float> logits = {1.0f};
  PenalizeRepetition(Entries{{.id = 1}, {.id = 9}}, 2, absl::MakeSpan(logits));
  PenalizePresenceAndFrequency(Entries{{.id = 1}, {.id = 9}}, 2, 2,
                               absl::MakeSpan(logits));
  EXPECT_THAT(logits, ElementsAre(1.0f));
}

}  // namespace
}  // namespace rwkvd
