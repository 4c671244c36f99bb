// SPDX-License-Identifier: Apache-2.0
// What an engine reports of its load.

#include <vector>

#include "absl/time/time.h"
#include "core/engine/engine.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_fixture.h"

namespace rwkvd {
namespace {

class EngineLoadTest : public EngineFixture {
 protected:
  EngineLoadTest() : EngineFixture(/*max_running=*/1, /*max_queued=*/6) {}

  RecordingSink* Submit(const Tokens& prompt, int64_t max_tokens) {
    RecordingSink* sink = NewSink();
    EXPECT_TRUE(engine().Submit(Request(prompt, max_tokens), sink).ok());
    return sink;
  }
};

TEST_F(EngineLoadTest, IdleEngineReportsItsLimitsOnly) {
  options_.max_total_tokens = 5000;
  options_.max_prompt_tokens = options_.max_generated_tokens = 1000;
  const EngineLoad load = engine().Load(Now());
  EXPECT_EQ(load.running, 0);
  EXPECT_EQ(load.slots, 1);
  EXPECT_EQ(load.queued, 0);
  EXPECT_EQ(load.max_queued, 6);
  EXPECT_EQ(load.oldest_wait, absl::ZeroDuration());
  EXPECT_EQ(load.queued_prompt_tokens, 0);
  EXPECT_EQ(load.total_tokens, 0);
  EXPECT_EQ(load.max_total_tokens, 5000);
  EXPECT_EQ(load.generated_tokens_per_second, 0);
  EXPECT_EQ(load.utilization(), 0);
}

TEST_F(EngineLoadTest, WaitingRequestsReportTheirPromptsAndTheLongestWait) {
  Submit({1}, 100);
  gate_.WaitForArrivals(1);
  Submit(Tokens(7, 2), 1);
  Submit(Tokens(5, 3), 1);
  gate_.Permit(3);  // three seconds
  gate_.WaitForArrivals(4);
  const EngineLoad load = engine().Load(Now());
  EXPECT_EQ(load.running, 1);
  EXPECT_EQ(load.queued, 2);
  EXPECT_EQ(load.queued_prompt_tokens, 12);
  EXPECT_EQ(load.oldest_wait, absl::Seconds(3));
  EXPECT_EQ(load.total_tokens, 101 + 8 + 6);
  EXPECT_EQ(load.utilization(), 3);
}

TEST_F(EngineLoadTest, SamplesShareTheirPrompt) {
  options_.max_running = 2;
  Submit({1}, 100);
  gate_.WaitForArrivals(1);
  Submit({1}, 100);
  gate_.Permit(1);
  gate_.WaitForArrivals(2);  // both run
  std::vector<GenerateSink*> sinks = {NewSink(), NewSink()};
  ASSERT_TRUE(engine().Submit(Request(Tokens(7, 2), 1), sinks).ok());
  const EngineLoad load = engine().Load(Now());
  EXPECT_EQ(load.queued, 2);
  EXPECT_EQ(load.queued_prompt_tokens, 7);
}

TEST_F(EngineLoadTest, RatesCoverTheLastSeconds) {
  gate_.Open();
  Submit(Tokens(9, 1), 20)->Wait();
  // The prompt took one second, and each token after the first another one.
  const EngineLoad load = engine().Load(absl::UnixEpoch() + absl::Seconds(20));
  EXPECT_GT(load.generated_tokens_per_second, 0.8);
  EXPECT_LE(load.generated_tokens_per_second, 1.2);
  EXPECT_EQ(load.prompt_tokens_per_second, 0) << "long ago";
  const EngineLoad later =
      engine().Load(absl::UnixEpoch() + absl::Seconds(1000));
  EXPECT_EQ(later.generated_tokens_per_second, 0);
}

TEST_F(EngineLoadTest, RateOfPromptsIncludesScoredTokens) {
  gate_.Open();
  ScoreRequest score;
  score.items[0].context = {1, 2, 3};
  score.items[0].continuations = {{4, 5, 6, 7}};
  RecordingSink sink;
  ASSERT_TRUE(engine().Submit(score, &sink).ok());
  sink.Wait();
  const EngineLoad load = engine().Load(absl::UnixEpoch() + absl::Seconds(10));
  EXPECT_GT(load.prompt_tokens_per_second, 0.5);
  EXPECT_EQ(load.generated_tokens_per_second, 0);
}

}  // namespace
}  // namespace rwkvd
