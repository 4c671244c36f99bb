// SPDX-License-Identifier: Apache-2.0
// What a runner knows already: prompts, their beginnings and pinned ones.

#include <vector>

#include "absl/time/time.h"
#include "core/engine/sequence/score_sequence.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/engine/step_runner_fixture.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using StepRunnerCacheTest = StepRunnerTest;

TEST_F(StepRunnerCacheTest, APromptThatIsKnownNeedsNoStep) {
  RecordingSink* first = Join({1, 2, 3}, 1);
  StepUntilNothingRuns();
  const int64_t steps = counters_.steps.value();
  RecordingSink* second = Join({1, 2, 3}, 1);
  EXPECT_EQ(Step(), 1);
  EXPECT_THAT(chunk_sizes_, IsEmpty());
  EXPECT_EQ(counters_.steps.value(), steps);
  EXPECT_TRUE(second->Peek().HasSameAnswer(first->Peek()));
  EXPECT_EQ(first->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(second->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(counters_.state_cache_queries.value(), 2);
  EXPECT_EQ(counters_.state_cache_hits.value(), 1);
}

TEST_F(StepRunnerCacheTest, AConversationGoesOnFromTheEndOfItsLastAnswer) {
  Join({1, 2, 3}, 4);
  StepUntilNothingRuns();
  // The last token drawn was not read.
  Tokens longer = {1, 2, 3};
  for (const int32_t id : GreedyAfter({1, 2, 3}, 4)) longer.push_back(id);
  longer.push_back(9);
  RecordingSink* sink = Join(longer, 2);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(2));
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 6);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(longer, 2));
}

TEST_F(StepRunnerCacheTest, WhoDoesNotWantTheCacheNeitherUsesNorFillsIt) {
  Join({1, 2, 3}, 1, /*use_state_cache=*/false);
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 0);
  Join({1, 2, 3}, 1);
  StepUntilNothingRuns();
  RecordingSink* sink = Join({1, 2, 3}, 1, /*use_state_cache=*/false);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(counters_.state_cache_queries.value(), 1);
}

TEST_F(StepRunnerCacheTest, AnEmptyPromptIsNeverCountedAsCached) {
  Join({}, 1);
  StepUntilNothingRuns();
  RecordingSink* sink = Join({}, 1);
  Step();
  EXPECT_THAT(chunk_sizes_, IsEmpty());  // though it was
  EXPECT_EQ(sink->Peek().usage.prompt_tokens, 0);
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({}, 1));
}

TEST_F(StepRunnerCacheTest, TheContextOfAScoreIsKnownToAPrompt) {
  ScoreRequest request;
  request.items[0].context = {5, 6};
  request.items[0].continuations = {{1, 2}, {3, 4, 5}};
  RecordingSink score;
  runner().Admit(
      std::make_unique<ScoreSequence>(1, request, &score, &counters_),
      absl::UnixEpoch());
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 1);
  RecordingSink* sink = Join({5, 6}, 3);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 2);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({5, 6}, 3));

  RecordingSink again;
  runner().Admit(
      std::make_unique<ScoreSequence>(2, request, &again, &counters_),
      absl::UnixEpoch());
  StepUntilNothingRuns();
  EXPECT_TRUE(again.Peek().HasSameAnswer(score.Peek()));
  EXPECT_EQ(again.Peek().usage.cached_tokens, 2);
}

TEST_F(StepRunnerCacheTest, AScoreStoresNoOtherLogitsThanThoseOfItsContext) {
  options_.state_cache_bytes = 900;  // one entry
  ScoreRequest request;
  request.items[0].context = {5, 6};
  request.items[0].continuations = {Tokens(30, 1)};
  RecordingSink score;
  runner().Admit(
      std::make_unique<ScoreSequence>(1, request, &score, &counters_),
      absl::UnixEpoch());
  Step();
  Join({9}, 1);  // takes the place of the context
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().evictions, 1);
  RecordingSink* sink = Join({5, 6}, 3);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({5, 6}, 3));
}

TEST_F(StepRunnerCacheTest, ALongPromptLeavesStatesOnItsWay) {
  options_.state_cache_interval = 8;
  Tokens prompt(20, 7);
  Join(prompt, 1);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(8));
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(8));
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 3);
  // What parts from it pays for what comes after the last one before.
  prompt.resize(18);
  prompt.push_back(9);
  RecordingSink* sink = Join(prompt, 3);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(3));
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 16);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(prompt, 3));
}

TEST_F(StepRunnerCacheTest, APromptThatEndsAtASavePointOfAnotherReadsToItsEnd) {
  options_.state_cache_interval = 8;
  Join(Tokens(20, 7), 1);
  StepUntilNothingRuns();
  // What follows the 16 tokens was not computed, and is now.
  RecordingSink* sink = Join(Tokens(16, 7), 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 8);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(Tokens(16, 7), 2));
  sink = Join(Tokens(16, 7), 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 16);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(Tokens(16, 7), 2));
}

TEST_F(StepRunnerCacheTest, TheThirdWhoSharesABeginningFindsIt) {
  Tokens shared(40, 3);
  const auto prompt_of = [&](int32_t last) {
    Tokens prompt = shared;
    prompt.push_back(last);
    return prompt;
  };
  std::vector<int64_t> cached;
  for (const int32_t last : {1, 2, 3}) {
    RecordingSink* sink = Join(prompt_of(last), 2);
    StepUntilNothingRuns();
    cached.push_back(sink->Peek().usage.cached_tokens);
    EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(prompt_of(last), 2));
  }
  EXPECT_THAT(cached, ElementsAre(0, 0, 40));
}

TEST_F(StepRunnerCacheTest, APinnedPromptOutlivesAllOthers) {
  options_.state_cache_bytes = 900;  // one entry
  GenerateRequest pin;
  pin.prompt = {1, 2, 3};
  pin.pin = PinRequest{"system"};
  Join(pin);
  StepUntilNothingRuns();
  for (int32_t i = 4; i < 9; ++i) Join({i}, 1), StepUntilNothingRuns();
  RecordingSink* sink = Join({1, 2, 3, 4}, 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3, 4}, 2));
}

TEST_F(StepRunnerCacheTest, APinGoesWhenItsTimeIsOver) {
  absl::Time now = absl::UnixEpoch();
  options_.clock = [&now] { return now; };
  GenerateRequest pin;
  pin.prompt = {1, 2, 3};
  pin.pin = PinRequest{"system", absl::Seconds(10)};
  Join(pin);
  now += absl::Seconds(1);
  StepUntilNothingRuns();
  ASSERT_EQ(state_cache_->Pinned().size(), 1);
  EXPECT_EQ(state_cache_->Pinned()[0].expires, now + absl::Seconds(10));
}

TEST_F(StepRunnerCacheTest, APinForWhichThereIsNoRoomEndsItsRequest) {
  options_.max_pinned = 0;
  GenerateRequest pin;
  pin.prompt = {1, 2, 3};
  pin.pin = PinRequest{"system"};
  pin.max_tokens = 5;
  RecordingSink* sink = Join(pin);
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(sink->Peek().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sink->Peek().reason, FinishReason::kCancelled);
}

}  // namespace
}  // namespace rwkvd
