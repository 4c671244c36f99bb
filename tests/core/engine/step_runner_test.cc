// SPDX-License-Identifier: Apache-2.0
#include "core/engine/step_runner.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/engine/step_runner_fixture.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(StepRunnerTest, SamplesWhatTheModelPredicts) {
  RecordingSink* sink = Admit({1, 2, 3}, 5);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3}, 5));
}

TEST_F(StepRunnerTest, PrefillsInChunksAndSamplesInTheLastOne) {
  RecordingSink* sink = Admit(Tokens(25, 7), 2);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(10));
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(10));
  EXPECT_THAT(sink->Peek().tokens, IsEmpty());
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(5));
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(Tokens(25, 7), 1));
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter(Tokens(25, 7), 2));
}

TEST_F(StepRunnerTest, ModelThatCannotBeTrustedEndsAllSequences) {
  absl::Status model;
  options_.check_model = [&model] { return model; };
  const auto shared = std::make_shared<SharedPrompt>(1000);
  GenerateRequest sample;
  sample.prompt = Tokens(25, 7);
  sample.max_tokens = 1;
  sample.sampling.temperature = 0;
  RecordingSink* decoding = Admit({1}, 5);
  RecordingSink* leader = Admit(sample, shared);
  Step();
  EXPECT_EQ(decoding->Peek().tokens.size(), 1);
  const int64_t num_cached = state_cache_->figures().entries;

  model = absl::InternalError("damaged");
  EXPECT_EQ(Step(), 2);
  for (const RecordingSink* sink : {decoding, leader}) {
    EXPECT_EQ(sink->Peek().status, model);
    EXPECT_EQ(sink->Peek().reason, FinishReason::kModelChanged);
  }
  EXPECT_EQ(decoding->Peek().tokens.size(), 1);
  EXPECT_EQ(state_cache_->figures().entries, num_cached);

  // A sample that was not running can still compute the shared prompt.
  model = absl::OkStatus();
  RecordingSink* other = Admit(sample, shared);
  StepUntilNothingRuns();
  EXPECT_EQ(other->Peek().Ids(), GreedyAfter(sample.prompt, 1));
}

TEST_F(StepRunnerTest, AdmitsSequencesBetweenSteps) {
  RecordingSink* first = Admit({1}, 4);
  Step();
  RecordingSink* second = Admit(Tokens(30, 2), 1);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(1, 9));  // the decode is not delayed
  EXPECT_EQ(first->Peek().tokens.size(), 2);
  StepUntilNothingRuns();
  EXPECT_EQ(first->Peek().Ids(), GreedyAfter({1}, 4));
  EXPECT_EQ(second->Peek().Ids(), GreedyAfter(Tokens(30, 2), 1));
}

TEST_F(StepRunnerTest, DecodingSequenceAdvancesInEveryStep) {
  options_.max_step_tokens = 5;
  Admit(Tokens(1000, 1), 1);
  Admit(Tokens(1000, 2), 1);
  Admit(Tokens(1000, 3), 1);
  RecordingSink* sink = Admit({4}, 100);
  for (int i = 1; i <= 20; ++i) {
    Step();
    ASSERT_EQ(sink->Peek().tokens.size(), i);
    ASSERT_THAT(chunk_sizes_, ElementsAre(4, 1));
  }
}

// Samples of one request that differ in their number of tokens.
TEST_F(StepRunnerTest, SamplesPrefillTheirPromptOnce) {
  options_.state_cache_bytes = 0;
  const auto shared = std::make_shared<SharedPrompt>(1000);
  GenerateRequest request;
  request.prompt = Tokens(25, 7);
  request.sampling.temperature = 0;
  std::vector<RecordingSink*> sinks;
  for (request.max_tokens = 1; request.max_tokens <= 3; ++request.max_tokens) {
    sinks.push_back(Admit(request, shared));
  }
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(10));
  Step();
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(5));
  // A sample that is admitted later does not prefill either.
  sinks.push_back(Admit(request, shared));
  Step();
  EXPECT_THAT(chunk_sizes_, IsEmpty());
  EXPECT_EQ(sinks[3]->Peek().tokens.size(), 1);
  StepUntilNothingRuns();
  for (size_t i = 0; i < sinks.size(); ++i) {
    EXPECT_EQ(sinks[i]->Peek().Ids(), GreedyAfter(Tokens(25, 7), i + 1));
    EXPECT_EQ(sinks[i]->Peek().usage.cached_tokens, i == 0 ? 0 : 25);
  }
  EXPECT_EQ(counters_.prompt_tokens.value(), 25);
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(StepRunnerTest, AnotherSampleContinuesThePrefillOfARemovedOne) {
  options_.state_cache_bytes = 0;
  const auto shared = std::make_shared<SharedPrompt>(1000);
  GenerateRequest request;
  request.prompt = Tokens(25, 7);
  request.max_tokens = 3;
  request.sampling.temperature = 0;
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 3; ++i) sinks.push_back(Admit(request, shared));
  const auto remove = [this](Sequence::Id id) {
    runner().Remove(
        [id](const Sequence& sequence) { return sequence.id() == id; });
  };
  Step();
  remove(1);
  Step();
  remove(2);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(5));
  StepUntilNothingRuns();
  EXPECT_EQ(sinks[2]->Peek().Ids(), GreedyAfter(Tokens(25, 7), 3));
  EXPECT_EQ(counters_.prompt_tokens.value(), 25);

  // If no sample is left, the next admitted one prefills.
  const auto other = std::make_shared<SharedPrompt>(1001);
  Admit(request, other);
  Step();
  remove(4);
  RecordingSink* last = Admit(request, other);
  StepUntilNothingRuns();
  EXPECT_EQ(last->Peek().Ids(), GreedyAfter(Tokens(25, 7), 3));
}

TEST_F(StepRunnerTest, MaxTokensOfZeroOnlyPrefills) {
  RecordingSink* sink = Admit({1, 2, 3}, 0);
  EXPECT_EQ(Step(), 1);
  EXPECT_THAT(sink->Peek().tokens, IsEmpty());
  EXPECT_EQ(sink->Peek().reason, FinishReason::kLength);
  EXPECT_TRUE(sink->Peek().status.ok());
  sink = Admit({1, 2, 3}, 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3}, 2));
}

TEST_F(StepRunnerTest, NonFiniteLogitsEndOnlyTheirSequence) {
  int num_reported = 0;
  options_.on_non_finite_logits = [&num_reported] { ++num_reported; };
  model_.BreakAfter(39);
  RecordingSink* broken = Admit({1, 39}, 5);
  RecordingSink* other = Admit({1, 2}, 5);
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(broken->Peek().reason, FinishReason::kFailed);
  EXPECT_EQ(broken->Peek().status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(broken->Peek().tokens, IsEmpty());
  StepUntilNothingRuns();
  EXPECT_EQ(num_reported, 1);
  EXPECT_EQ(other->Peek().Ids(), GreedyAfter({1, 2}, 5));
  // The state cache has no prompt whose next token is unknown.
  EXPECT_EQ(state_cache_->Lookup(0, {1, 39}).known, nullptr);
}

TEST_F(StepRunnerTest, NonFiniteLogitsEndEverySampleOfARequest) {
  model_.BreakAfter(39);
  const auto shared = std::make_shared<SharedPrompt>(1000);
  GenerateRequest request;
  request.prompt = {1, 39};
  request.max_tokens = 3;
  for (int i = 0; i < 3; ++i) Admit(request, shared);
  StepUntilNothingRuns();
  for (const auto& sink : sinks_) {
    EXPECT_EQ(sink->Peek().reason, FinishReason::kFailed);
  }
}

TEST_F(StepRunnerTest, NonFiniteLogitsEndRequestsWithoutOutput) {
  model_.BreakAfter(39);
  GenerateRequest pin;
  pin.prompt = {1, 39};
  pin.pin = PinRequest{"system"};
  pin.max_tokens = 0;
  RecordingSink* sink = Admit(pin);
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(sink->Peek().reason, FinishReason::kFailed);
  EXPECT_THAT(state_cache_->Pinned(), IsEmpty());
}

TEST_F(StepRunnerTest, NonFiniteLogitsOfAnEchoEndTheSequence) {
  model_.BreakAfter(39);
  GenerateRequest request;
  request.prompt = {1, 39, 2, 3};
  request.echo = true;
  request.max_tokens = 3;
  RecordingSink* sink = Admit(request);
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(sink->Peek().reason, FinishReason::kFailed);
  EXPECT_THAT(sink->Peek().prompt, IsEmpty());
}

TEST_F(StepRunnerTest, NonFiniteLogitsAfterASavedStateBlameTheState) {
  options_.on_non_finite_logits = [] { ADD_FAILURE() << "blames the weights"; };
  model_.BreakAfter(39);
  auto start = std::make_shared<Snapshot>();
  start->state = model_.NewState();
  GenerateRequest request;
  request.prompt = {39};
  request.start = start;
  request.max_tokens = 3;
  RecordingSink* sink = Admit(request);
  EXPECT_EQ(Step(), 1);
  EXPECT_EQ(sink->Peek().reason, FinishReason::kFailed);
  EXPECT_EQ(sink->Peek().status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StepRunnerTest, RemovesMatchingSequences) {
  RecordingSink* first = Admit({1}, 3);
  Admit({2}, 3);
  Step();
  const auto removed = runner().Remove(
      [](const Sequence& sequence) { return sequence.id() == 2; });
  ASSERT_EQ(removed.size(), 1);
  EXPECT_EQ(runner().num_running(), 1);
  StepUntilNothingRuns();
  EXPECT_EQ(first->Peek().Ids(), GreedyAfter({1}, 3));
}

TEST_F(StepRunnerTest, CountsTokensAndSteps) {
  Admit({1, 2, 3}, 3);
  Admit(Tokens(10, 4), 1);
  StepUntilNothingRuns();
  const EngineStats stats = counters_.Read();
  EXPECT_EQ(stats.prompt_tokens, 13);
  EXPECT_EQ(stats.generated_tokens, 4);
  // Steps of 3 + 7, 1 + 3 and 1 tokens.
  EXPECT_EQ(stats.steps, 3);
  EXPECT_EQ(stats.batch_tokens.sum, 15);
  EXPECT_EQ(stats.batch_size.sum, 5);
  EXPECT_EQ(stats.finished[static_cast<int>(FinishReason::kLength)], 2);
  EXPECT_EQ(stats.inter_token_seconds.cumulative.back(), 2);
  EXPECT_EQ(stats.queue_seconds.cumulative.back(), 2);
  EXPECT_EQ(stats.prefill_seconds.cumulative.back(), 2);
  EXPECT_EQ(stats.decode_seconds.cumulative.back(), 2);
  EXPECT_EQ(stats.running, 0);
}

}  // namespace
}  // namespace rwkvd
