// SPDX-License-Identifier: Apache-2.0
#include "core/engine/runner.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/generation.h"
#include "core/engine/scoring.h"
#include "core/engine/vocabulary.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Tokens = std::vector<int32_t>;

constexpr int64_t kVocabSize = 40;

EngineOptions SmallOptions() {
  EngineOptions options;
  options.max_running = 4;
  options.max_step_tokens = 10;
  return options;
}

// A runner of a fake model, and the chunks' sizes in its last step.
class RunnerTest : public testing::Test {
 protected:
  RunnerTest()
      : model_(kVocabSize,
               [this](absl::Span<const Chunk> chunks) {
                 chunk_sizes_.clear();
                 for (const Chunk& chunk : chunks) {
                   chunk_sizes_.push_back(chunk.tokens.size());
                 }
               }),
        tokenizer_(FakeTokenizer::Numbers(kVocabSize)),
        pool_(2) {
    options_ = SmallOptions();
  }

  Runner& runner() {
    if (runner_ == nullptr) {
      state_cache_ = std::make_unique<StateCache>(
          StateCache::Limits{options_.state_cache_bytes,
                             options_.max_pinned_bytes, options_.max_pinned});
      runner_ =
          std::make_unique<Runner>(options_, &model_, initial_states_,
                                   state_cache_.get(), &pool_, &counters_);
    }
    return *runner_;
  }

  RecordingSink* Join(const Tokens& prompt, int64_t max_tokens,
                      bool use_state_cache = true) {
    GenerateRequest request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0;
    request.use_state_cache = use_state_cache;
    return Join(std::move(request));
  }

  RecordingSink* Join(GenerateRequest request,
                      std::shared_ptr<SharedPrompt> shared = nullptr) {
    sinks_.push_back(std::make_unique<RecordingSink>());
    runner().Join(
        std::make_unique<Generation>(
            sinks_.size(), request, VocabularyOf(tokenizer_, kVocabSize),
            &tokenizer_, sinks_.back().get(), &counters_, std::move(shared)),
        absl::UnixEpoch());
    return sinks_.back().get();
  }

  // Returns how many ended.
  size_t Step() {
    chunk_sizes_.clear();
    const std::vector<Ended> ended = runner().Step();
    for (const Ended& one : ended) {
      one.sequence->Finish(one.reason, one.status, absl::UnixEpoch());
    }
    return ended.size();
  }

  void StepUntilNothingRuns() {
    while (runner().num_running() > 0) Step();
  }

  Tokens GreedyAfter(Tokens history, int64_t n) const {
    if (history.empty()) history = {0};
    Tokens drawn;
    for (int64_t i = 0; i < n; ++i) {
      const std::vector<float> logits = model_.LogitsAfter(history);
      drawn.push_back(std::max_element(logits.begin(), logits.end()) -
                      logits.begin());
      history.push_back(drawn.back());
    }
    return drawn;
  }

  EngineOptions options_;
  std::vector<int64_t> chunk_sizes_;
  FakeModel model_;
  const std::vector<NamedState> initial_states_ = {{"", model_.NewState()}};
  FakeTokenizer tokenizer_;
  ThreadPool pool_;
  EngineCounters counters_;
  std::unique_ptr<StateCache> state_cache_;
  std::unique_ptr<Runner> runner_;
  std::vector<std::unique_ptr<RecordingSink>> sinks_;
};

TEST_F(RunnerTest, DrawsWhatTheModelPredicts) {
  RecordingSink* sink = Join({1, 2, 3}, 5);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3}, 5));
}

TEST_F(RunnerTest, ReadsAPromptInPiecesAndDrawsInTheStepThatEndsIt) {
  RecordingSink* sink = Join(Tokens(25, 7), 2);
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

TEST_F(RunnerTest, NewSequencesJoinBetweenSteps) {
  RecordingSink* first = Join({1}, 4);
  Step();
  RecordingSink* second = Join(Tokens(30, 2), 1);
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(1, 9));  // decodes are not held up
  EXPECT_EQ(first->Peek().tokens.size(), 2);
  StepUntilNothingRuns();
  EXPECT_EQ(first->Peek().Ids(), GreedyAfter({1}, 4));
  EXPECT_EQ(second->Peek().Ids(), GreedyAfter(Tokens(30, 2), 1));
}

TEST_F(RunnerTest, EveryRunningSequenceAdvancesInEveryStep) {
  options_.max_step_tokens = 5;
  Join(Tokens(1000, 1), 1);
  Join(Tokens(1000, 2), 1);
  Join(Tokens(1000, 3), 1);
  RecordingSink* sink = Join({4}, 100);
  for (int i = 1; i <= 20; ++i) {
    Step();
    ASSERT_EQ(sink->Peek().tokens.size(), i);
    ASSERT_EQ(chunk_sizes_.size(), 4);
  }
}

TEST_F(RunnerTest, APromptThatIsKnownNeedsNoStep) {
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

TEST_F(RunnerTest, AConversationGoesOnFromTheEndOfItsLastAnswer) {
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

TEST_F(RunnerTest, WhoDoesNotWantTheCacheNeitherUsesNorFillsIt) {
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

TEST_F(RunnerTest, AnEmptyPromptIsNeverCountedAsCached) {
  Join({}, 1);
  StepUntilNothingRuns();
  RecordingSink* sink = Join({}, 1);
  Step();
  EXPECT_THAT(chunk_sizes_, IsEmpty());  // though it was
  EXPECT_EQ(sink->Peek().usage.prompt_tokens, 0);
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 0);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({}, 1));
}

TEST_F(RunnerTest, TheContextOfAScoreIsKnownToAPrompt) {
  ScoreRequest request;
  request.items[0].context = {5, 6};
  request.items[0].continuations = {{1, 2}, {3, 4, 5}};
  RecordingSink score;
  runner().Join(std::make_unique<Scoring>(1, request, &score, &counters_),
                absl::UnixEpoch());
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().entries, 1);
  RecordingSink* sink = Join({5, 6}, 3);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 2);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({5, 6}, 3));

  RecordingSink again;
  runner().Join(std::make_unique<Scoring>(2, request, &again, &counters_),
                absl::UnixEpoch());
  StepUntilNothingRuns();
  EXPECT_TRUE(again.Peek().HasSameAnswer(score.Peek()));
  EXPECT_EQ(again.Peek().usage.cached_tokens, 2);
}

TEST_F(RunnerTest, AScoreStoresNoOtherLogitsThanThoseOfItsContext) {
  options_.state_cache_bytes = 900;  // one entry
  ScoreRequest request;
  request.items[0].context = {5, 6};
  request.items[0].continuations = {Tokens(30, 1)};
  RecordingSink score;
  runner().Join(std::make_unique<Scoring>(1, request, &score, &counters_),
                absl::UnixEpoch());
  Step();
  Join({9}, 1);  // takes the place of the context
  StepUntilNothingRuns();
  EXPECT_EQ(state_cache_->figures().evictions, 1);
  RecordingSink* sink = Join({5, 6}, 3);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({5, 6}, 3));
}

TEST_F(RunnerTest, ALongPromptLeavesStatesOnItsWay) {
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

TEST_F(RunnerTest, APromptThatEndsAtACheckpointOfAnotherReadsToItsEnd) {
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

TEST_F(RunnerTest, TheThirdWhoSharesABeginningFindsIt) {
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

// Samples of one request, that differ in their number of tokens.
TEST_F(RunnerTest, SamplesReadTheirPromptOnce) {
  options_.state_cache_bytes = 0;
  const auto shared = std::make_shared<SharedPrompt>();
  GenerateRequest request;
  request.prompt = Tokens(25, 7);
  request.sampling.temperature = 0;
  std::vector<RecordingSink*> sinks;
  for (request.max_tokens = 1; request.max_tokens <= 3; ++request.max_tokens) {
    sinks.push_back(Join(request, shared));
  }
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(10));
  Step();
  Step();
  EXPECT_THAT(chunk_sizes_, ElementsAre(5));
  // One that joins later needs none of it either.
  sinks.push_back(Join(request, shared));
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

TEST_F(RunnerTest, AnotherSampleReadsOnForOneThatIsTakenOut) {
  options_.state_cache_bytes = 0;
  const auto shared = std::make_shared<SharedPrompt>();
  GenerateRequest request;
  request.prompt = Tokens(25, 7);
  request.max_tokens = 3;
  request.sampling.temperature = 0;
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 3; ++i) sinks.push_back(Join(request, shared));
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

  // And if nobody is left, who joins next.
  const auto other = std::make_shared<SharedPrompt>();
  Join(request, other);
  Step();
  remove(4);
  RecordingSink* last = Join(request, other);
  StepUntilNothingRuns();
  EXPECT_EQ(last->Peek().Ids(), GreedyAfter(Tokens(25, 7), 3));
}

TEST_F(RunnerTest, NoTokensAskedForOnlyReadsThePrompt) {
  RecordingSink* sink = Join({1, 2, 3}, 0);
  EXPECT_EQ(Step(), 1);
  EXPECT_THAT(sink->Peek().tokens, IsEmpty());
  EXPECT_EQ(sink->Peek().reason, FinishReason::kLength);
  EXPECT_TRUE(sink->Peek().status.ok());
  sink = Join({1, 2, 3}, 2);
  StepUntilNothingRuns();
  EXPECT_EQ(sink->Peek().usage.cached_tokens, 3);
  EXPECT_EQ(sink->Peek().Ids(), GreedyAfter({1, 2, 3}, 2));
}

TEST_F(RunnerTest, APinnedPromptOutlivesAllOthers) {
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

TEST_F(RunnerTest, APinGoesWhenItsTimeIsOver) {
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

TEST_F(RunnerTest, APinForWhichThereIsNoRoomEndsItsRequest) {
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

TEST_F(RunnerTest, TakesOutWhomItIsTold) {
  RecordingSink* first = Join({1}, 3);
  Join({2}, 3);
  Step();
  const auto removed = runner().Remove(
      [](const Sequence& sequence) { return sequence.id() == 2; });
  ASSERT_EQ(removed.size(), 1);
  EXPECT_EQ(runner().num_running(), 1);
  StepUntilNothingRuns();
  EXPECT_EQ(first->Peek().Ids(), GreedyAfter({1}, 3));
}

TEST_F(RunnerTest, CountsWhatItDoes) {
  Join({1, 2, 3}, 3);
  Join(Tokens(10, 4), 1);
  StepUntilNothingRuns();
  const EngineStats stats = counters_.Read();
  EXPECT_EQ(stats.prompt_tokens, 13);
  EXPECT_EQ(stats.generated_tokens, 4);
  // 3 + 7, 1 + 3, 1.
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
