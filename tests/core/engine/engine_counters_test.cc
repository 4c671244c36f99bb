// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine_counters.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(EngineCountersTest, ReadReturnsEveryCounter) {
  EngineCounters counters;
  Counter* const all[] = {
      &counters.running,
      &counters.prompt_tokens,
      &counters.cached_tokens,
      &counters.generated_tokens,
      &counters.scored_tokens,
      &counters.steps,
      &counters.state_cache_queries,
      &counters.state_cache_hits,
      &counters.rejected_queue_full,
      &counters.rejected_draining,
  };
  int64_t n = 0;
  for (Counter* counter : all) counter->Add(++n);
  counters.rejected_total_tokens.Add(31);
  counters.rejected_queue_time.Add(32);
  counters.rejected_deadline.Add(33);
  counters.finished[2].Add(++n);
  Histogram* const histograms[] = {
      &counters.queue_seconds,  &counters.prefill_seconds,
      &counters.decode_seconds, &counters.inter_token_seconds,
      &counters.step_seconds,   &counters.batch_size,
      &counters.batch_tokens,
  };
  for (Histogram* histogram : histograms) histogram->Observe(++n);

  const EngineStats stats = counters.Read();
  EXPECT_EQ(stats.running, 1);
  EXPECT_EQ(stats.prompt_tokens, 2);
  EXPECT_EQ(stats.cached_tokens, 3);
  EXPECT_EQ(stats.generated_tokens, 4);
  EXPECT_EQ(stats.scored_tokens, 5);
  EXPECT_EQ(stats.steps, 6);
  EXPECT_EQ(stats.state_cache_queries, 7);
  EXPECT_EQ(stats.state_cache_hits, 8);
  EXPECT_EQ(stats.rejected_queue_full, 9);
  EXPECT_EQ(stats.rejected_draining, 10);
  EXPECT_EQ(stats.rejected_total_tokens, 31);
  EXPECT_EQ(stats.rejected_queue_time, 32);
  EXPECT_EQ(stats.rejected_deadline, 33);
  EXPECT_EQ(stats.finished[2], 11);
  EXPECT_EQ(stats.queue_seconds.sum, 12);
  EXPECT_EQ(stats.prefill_seconds.sum, 13);
  EXPECT_EQ(stats.decode_seconds.sum, 14);
  EXPECT_EQ(stats.inter_token_seconds.sum, 15);
  EXPECT_EQ(stats.step_seconds.sum, 16);
  EXPECT_EQ(stats.batch_size.sum, 17);
  EXPECT_EQ(stats.batch_tokens.sum, 18);
}

TEST(EngineCountersTest, PositiveSecondsOfClockSetBackAreZero) {
  EXPECT_EQ(PositiveSeconds(absl::Milliseconds(1500)), 1.5);
  EXPECT_EQ(PositiveSeconds(-absl::Seconds(1)), 0);
}

}  // namespace
}  // namespace rwkvd
