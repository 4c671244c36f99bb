// SPDX-License-Identifier: Apache-2.0
#include "core/engine/snapshot.h"

#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kSnapshotVocabSize = 3;

const ModelIdentity& Identity() {
  static const ModelIdentity& identity =
      *new ModelIdentity{"rwkv7", std::string(64, 'a'), 2};
  return identity;
}

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

absl::StatusOr<Snapshot> Parse(const std::string& bytes) {
  return ParseSnapshot(AsBytes(bytes), "state", Identity(), kSnapshotVocabSize);
}

Snapshot Full() {
  Snapshot snapshot;
  snapshot.state = State({1.5f, -2});
  snapshot.tokens = {1, 2, 0, 2, 1};
  snapshot.num_pending = 2;
  snapshot.is_resumable = true;
  snapshot.seed = 0xfedcba9876543210;
  snapshot.prompt_tokens = 7;
  snapshot.generated_tokens = 3;
  snapshot.sampler = {.num_random_draws = 2, .surprise_limit = 0.1};
  snapshot.withheld_bytes = "\nUser";
  snapshot.unfinished_text = "\xe4\xbd";
  return snapshot;
}

TEST(SnapshotTest, RoundTripIsIdentity) {
  Snapshot known;
  known.state = State({0, 1});
  known.logits = {1, 2, -std::numeric_limits<float>::max()};
  for (const Snapshot& snapshot : {Full(), known}) {
    const std::string bytes = *SerializeSnapshot(snapshot, Identity());
    const auto parsed = Parse(bytes);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->state, snapshot.state);
    EXPECT_EQ(parsed->tokens, snapshot.tokens);
    EXPECT_EQ(parsed->num_pending, snapshot.num_pending);
    EXPECT_EQ(parsed->logits, snapshot.logits);
    EXPECT_EQ(parsed->is_resumable, snapshot.is_resumable);
    EXPECT_EQ(parsed->seed, snapshot.seed);
    EXPECT_EQ(parsed->prompt_tokens, snapshot.prompt_tokens);
    EXPECT_EQ(parsed->generated_tokens, snapshot.generated_tokens);
    EXPECT_EQ(parsed->sampler.num_random_draws,
              snapshot.sampler.num_random_draws);
    EXPECT_EQ(parsed->sampler.surprise_limit, snapshot.sampler.surprise_limit);
    EXPECT_EQ(parsed->withheld_bytes, snapshot.withheld_bytes);
    EXPECT_EQ(parsed->unfinished_text, snapshot.unfinished_text);
    EXPECT_EQ(*SerializeSnapshot(*parsed, Identity()), bytes);
    EXPECT_LE(static_cast<int64_t>(bytes.size()),
              MaxSnapshotBytes(Identity(), kSnapshotVocabSize, 5));
  }
}

TEST(SnapshotTest, NonFiniteLogitsAreRefused) {
  Snapshot snapshot;
  snapshot.state = State({0, 1});
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    snapshot.logits = {1, bad, 2};
    const auto parsed = Parse(*SerializeSnapshot(snapshot, Identity()));
    EXPECT_THAT(std::string(parsed.status().message()),
                HasSubstr("the logits are not finite"));
  }
}

TEST(SnapshotTest, FileWithStateOnlyHasNoTokens) {
  const auto parsed = Parse(*SerializeState(State({1, 2}), Identity()));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->state, State({1, 2}));
  EXPECT_THAT(parsed->tokens, IsEmpty());
  EXPECT_THAT(parsed->logits, IsEmpty());
  EXPECT_FALSE(parsed->is_resumable);
}

TEST(SnapshotTest, RefusesValuesThatNoRequestCanProduce) {
  const std::pair<std::function<void(Snapshot&)>, std::string> cases[] = {
      {[](Snapshot& s) { s.tokens[1] = 3; }, "token 3 is not in [0, 3)"},
      {[](Snapshot& s) { s.tokens[1] = -1; }, "token -1"},
      {[](Snapshot& s) { s.num_pending = 6; }, "6 pending tokens of 5"},
      {[](Snapshot& s) { s.num_pending = -1; }, "-1 pending tokens"},
      {[](Snapshot& s) { s.num_pending = 0; },
       "resumable, but without a prediction"},
      {[](Snapshot& s) {
         s.logits = {1, 2};
       },
       "2 logits, the model has 3"},
      {[](Snapshot& s) { s.prompt_tokens = -1; }, "generated tokens"},
      {[](Snapshot& s) { s.generated_tokens = 6; }, "6 generated tokens of 5"},
      {[](Snapshot& s) { s.sampler.num_random_draws = 4; }, "4 random numbers"},
      {[](Snapshot& s) { s.sampler.num_random_draws = -1; },
       "-1 random numbers"},
      {[](Snapshot& s) {
         s.sampler.surprise_limit = std::numeric_limits<double>::infinity();
       },
       "surprise"},
      {[](Snapshot& s) { s.withheld_bytes = std::string(1024, 'x'); },
       "1024 withheld bytes"},
      {[](Snapshot& s) { s.unfinished_text = "a"; }, "does not begin"},
      {[](Snapshot& s) { s.unfinished_text = "\xe4\xbd\xa0"; },
       "does not begin"},
  };
  for (const auto& [spoil, expected] : cases) {
    Snapshot snapshot = Full();
    spoil(snapshot);
    const auto parsed = Parse(*SerializeSnapshot(snapshot, Identity()));
    ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument)
        << expected;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(expected));
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("state: "));
  }
}

TEST(SnapshotTest, RefusesContinuationOfWrongLength) {
  const std::string bytes = *SerializeSnapshot(Full(), Identity());
  const size_t begin = 72 + 2 * 4 + 8;
  const std::string whole = bytes.substr(begin, bytes.size() - begin - 32);
  for (size_t size = 1; size < whole.size(); ++size) {
    const auto parsed =
        Parse(*SerializeState(Full().state, Identity(), whole.substr(0, size)));
    EXPECT_FALSE(parsed.ok()) << size;
  }
  EXPECT_FALSE(
      Parse(*SerializeState(Full().state, Identity(), whole + "x")).ok());
  std::string flags = whole;
  flags[0] = 2;
  EXPECT_FALSE(Parse(*SerializeState(Full().state, Identity(), flags)).ok());
  std::string huge = whole;
  std::memset(huge.data() + 56, 0xff, 8);  // number of tokens
  EXPECT_FALSE(Parse(*SerializeState(Full().state, Identity(), huge)).ok());
}

TEST(SnapshotTest, RefusesSnapshotOfAnotherModel) {
  ModelIdentity other = Identity();
  other.fingerprint[0] = 'b';
  const std::string bytes = *SerializeSnapshot(Full(), other);
  EXPECT_EQ(Parse(bytes).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace rwkvd
