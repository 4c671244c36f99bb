// SPDX-License-Identifier: Apache-2.0
// How StepRunner uses the state cache: prompts, their prefixes and pins.

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

TEST_F(StepRunnerCacheTest, KnownPromptNeedsNoStep) {
  RecordingSink* first = Admit({1, 2, 3}, 1);
  StepUntilNothingRuns();
  const int64_t steps = counters_.steps.value();
  RecordingSink* second = Admit({1, 2, 3}, 1);
  EXPECT_EQ(Step(), 1);
  EXPECT_THAT(chunk_sizes_, IsEmpty());
  EXPECT_EQ(counters_.steps.value(), steps);
  EXPECT_TRUE(second->Peek().HasSameAnswer(first->Peek()));
  EXPECT_EQ(first->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(second->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(counters_.state_cache_queries.value(), 2);
  EXPECT_EQ(counters_.state_cache_hits.value(), 1);
}

TEST_F(StepRunnerCacheTest, ConversationContinuesFromTheEndOfItsLastAnswer) {
  Admit({1, 2, 3}, 4);
  StepUntilNothingRuns();
  // The last sampled token was not processed.
  Tokens longer = {1, 2, 3};
  for (const int32_t id : GreedyAfter({1, 2, 3}, 4)) longer.push_back(id);
  longer.push_back(9);
  RecordingSink* sink = Admit(longer, 2);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(2));
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 6);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(longer, 2));
}

TEST_F(StepRunnerCacheTest, RequestWithoutCacheNeitherUsesNorFillsIt) {
  Admit({1, 2, 3}, 1, /*use_state_cache=*/false);
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 0);
  Admit({1, 2, 3}, 1);
  StepUntilNothingRuns();
  RecordingSink* sink = Admit({1, 2, 3}, 1, /*use_state_cache=*/false);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(counters_.state_cache_queries.value(), 1);
}

TEST_F(StepRunnerCacheTest, EmptyPromptIsNotCountedAsCached) {
  Admit({}, 1);
  StepUntilNothingRuns();
  RecordingSink* sink = Admit({}, 1);
  Step();
  EXPECT_THAT(chunk_sizes_, IsEmpty());  // although it was cached
  EXPECT_EQ(sink->Peek().usage.prompt_tokens, 0);
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({}, 1));
}

TEST_F(StepRunnerCacheTest, PromptContinuesFromTheContextOfAScore) {
  ScoreRequest request;
  request.items[0].context = {5, 6};
  request.items[0].continuations = {{1, 2}, {3, 4, 5}};
  RecordingSink score;
  runner().Admit(
      std::make_unique<ScoreSequence>(1, request, &score, &counters_),
      absl::UnixEpoch());
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 1);
  RecordingSink* sink = Admit({5, 6}, 3);
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

TEST_F(StepRunnerCacheTest, ScoreStoresOnlyLogitsOfItsContext) {
  options_.state_cache_bytes = 1500;  // one entry
  ScoreRequest request;
  request.items[0].context = {5, 6};
  request.items[0].continuations = {Tokens(30, 1)};
  RecordingSink score;
  runner().Admit(
      std::make_unique<ScoreSequence>(1, request, &score, &counters_),
      absl::UnixEpoch());
  Step();
  Admit({9}, 1);  // evicts the context
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().evictions, 1);
  RecordingSink* sink = Admit({5, 6}, 3);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({5, 6}, 3));
}

TEST_F(StepRunnerCacheTest, LongPromptStoresStatesAtSavePoints) {
  options_.state_cache_interval = 8;
  Tokens prompt(20, 7);
  Admit(prompt, 1);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(8));
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(8));
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 3);
  // A prompt that branches off processes the tokens after the last save point.
  prompt.resize(18);
  prompt.push_back(9);
  RecordingSink* sink = Admit(prompt, 3);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(3));
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 16);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(prompt, 3));
}

TEST_F(StepRunnerCacheTest, RequestedSavePointServesAnotherPrompt) {
  GenerateRequest request;
  request.prompt = {1, 2, 3, 4, 5};
  request.max_tokens = 1;
  request.save_point = 3;
  Admit(request);
  StepUntilNothingRuns();
  RecordingSink* sink = Admit({1, 2, 3, 9}, 3);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3, 9}, 3));
}

TEST_F(StepRunnerCacheTest, PromptThatEndsAtASavePointProcessesItsLastTokens) {
  options_.state_cache_interval = 8;
  Admit(Tokens(20, 7), 1);
  StepUntilNothingRuns();
  // The prediction after the 16 tokens was not computed before.
  RecordingSink* sink = Admit(Tokens(16, 7), 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 8);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(Tokens(16, 7), 2));
  sink = Admit(Tokens(16, 7), 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 16);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(Tokens(16, 7), 2));
}

TEST_F(StepRunnerCacheTest, ThirdPromptWithCommonPrefixFindsTheBranchPoint) {
  Tokens shared(40, 3);
  const auto prompt_of = [&](int32_t last) {
    Tokens prompt = shared;
    prompt.push_back(last);
    return prompt;
  };
  std::vector<int64_t> cached;
  for (const int32_t last : {1, 2, 3}) {
    RecordingSink* sink = Admit(prompt_of(last), 2);
    StepUntilNothingRuns();
    cached.push_back(sink->Peek().usage.cached_tokens);
    EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(prompt_of(last), 2));
  }
  EXPECT_THAT(cached, ElementsAre(0, 0, 40));
}

TEST_F(StepRunnerCacheTest, PinnedPromptIsNotEvicted) {
  options_.state_cache_bytes = 1500;  // one entry
  GenerateRequest pin;
  pin.prompt = {1, 2, 3};
  pin.pin = PinRequest{"system"};
  Admit(pin);
  StepUntilNothingRuns();
  for (int32_t i = 4; i < 9; ++i) Admit({i}, 1), StepUntilNothingRuns();
  RecordingSink* sink = Admit({1, 2, 3, 4}, 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3, 4}, 2));
}

TEST_F(StepRunnerCacheTest, PinExpires) {
  absl::Time now = absl::UnixEpoch();
  options_.clock = [&now] { return now; };
  GenerateRequest pin;
  pin.prompt = {1, 2, 3};
  pin.pin = PinRequest{"system", absl::Seconds(10)};
  Admit(pin);
  now += absl::Seconds(1);
  StepUntilNothingRuns();
  ASSERT_EQ(state_cache_->Pinned().size(), 1);
  EXPECT_EQ(state_cache_->Pinned()[0].expires, now + absl::Seconds(10));
}

TEST_F(StepRunnerCacheTest, PinBeyondTheLimitEndsItsRequest) {
  options_.max_pinned = 0;
  GenerateRequest pin;
  pin.prompt = {1, 2, 3};
  pin.pin = PinRequest{"system"};
  pin.max_tokens = 5;
  RecordingSink* sink = Admit(pin);
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(sink->Peek().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sink->Peek().reason, FinishReason::kCancelled);
}

}  // namespace
}  // namespace rwkvd
