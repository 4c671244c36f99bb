// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/engine_collector.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Exposition(const EngineStats& stats) {
  return prometheus::TextSerializer().Serialize(ToMetricFamilies(stats));
}

TEST(EngineCollectorTest, StatisticsHaveTheirMetricNames) {
  EngineStats stats;
  stats.queued = 1;
  stats.running = 2;
  stats.state_cache_bytes = 3;
  stats.ffn_sparsity = 0.75;
  stats.state_cache_entries = 4;
  stats.prompt_tokens = 5;
  stats.cached_tokens = 6;
  stats.generated_tokens = 7;
  stats.scored_tokens = 8;
  stats.steps = 9;
  stats.state_cache_queries = 10;
  stats.state_cache_hits = 11;
  stats.state_cache_evictions = 12;
  stats.rejected_queue_full = 13;
  stats.rejected_draining = 14;
  stats.state_cache_pinned = 15;
  stats.rejected_total_tokens = 18;
  stats.rejected_memory = 19;
  stats.rejected_queue_time = 16;
  stats.rejected_deadline = 17;
  stats.drafted_tokens = {20, 21};
  stats.accepted_tokens = {22, 23};
  const std::string text = Exposition(stats);
  for (const char* line :
       {"rwkv_queue_depth 1",
        "rwkv_requests_running 2",
        "rwkv_ffn_sparsity 0.75",
        "rwkv_state_cache_bytes 3",
        "rwkv_state_cache_entries 4",
        "rwkv_prompt_tokens_total 5",
        "rwkv_prompt_tokens_cached_total 6",
        "rwkv_generation_tokens_total 7",
        "rwkv_scored_tokens_total 8",
        "rwkv_steps_total 9",
        "rwkv_draft_tokens_total{source=\"forced_text\"} 20",
        "rwkv_draft_tokens_total{source=\"prompt_lookup\"} 21",
        "rwkv_draft_tokens_accepted_total{source=\"forced_text\"} 22",
        "rwkv_draft_tokens_accepted_total{source=\"prompt_lookup\"} 23",
        "rwkv_state_cache_queries_total 10",
        "rwkv_state_cache_hits_total 11",
        "rwkv_state_cache_evictions_total 12",
        "rwkv_state_cache_pinned 15",
        "rwkv_requests_rejected_total{reason=\"queue_full\"} 13",
        "rwkv_requests_rejected_total{reason=\"draining\"} 14",
        "rwkv_requests_rejected_total{reason=\"total_tokens\"} 18",
        "rwkv_requests_rejected_total{reason=\"memory\"} 19",
        "rwkv_requests_rejected_total{reason=\"queue_time\"} 16",
        "rwkv_requests_rejected_total{reason=\"deadline\"} 17"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
  }
}

TEST(EngineCollectorTest, LoadHasItsMetricNames) {
  ServerLoad load;
  load.engine.running = 3;
  load.engine.slots = 4;
  load.engine.queued = 5;
  load.engine.max_queued = 6;
  load.engine.oldest_wait = absl::Milliseconds(1500);
  load.engine.queued_prompt_tokens = 7;
  load.engine.total_tokens = 8;
  load.engine.max_total_tokens = 9;
  load.engine.generated_tokens_per_second = 10.5;
  load.engine.prompt_tokens_per_second = 11.5;
  load.engine.requests_per_second = 12.5;
  load.running_state_bytes = 13;
  load.cached_state_limit = 14;
  load.stored_state_limit = 15;
  const std::string text =
      prometheus::TextSerializer().Serialize(ToMetricFamilies(load));
  for (const char* line :
       {"rwkv_slots 4", "rwkv_slots_used_ratio 0.75",
        "rwkv_utilization_ratio 2", "rwkv_queue_limit 6",
        "rwkv_queue_oldest_wait_seconds 1.5", "rwkv_queue_prompt_tokens 7",
        "rwkv_accepted_tokens 8", "rwkv_accepted_tokens_limit 9",
        "rwkv_recent_generation_tokens_per_second 10.5",
        "rwkv_recent_prompt_tokens_per_second 11.5",
        "rwkv_recent_requests_per_second 12.5", "rwkv_running_state_bytes 13",
        "rwkv_state_cache_limit_bytes 14", "rwkv_state_store_limit_bytes 15"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
  }
}

TEST(EngineCollectorTest, CancelledAndFailedRequestsHaveSeparateMetrics) {
  EngineStats stats;
  for (int i = 0; i < kNumFinishReasons; ++i) stats.finished[i] = i + 20;
  const std::string text = Exposition(stats);
  const std::string cancelled =
      std::to_string(20 + static_cast<int>(FinishReason::kCancelled));
  EXPECT_THAT(text, HasSubstr("rwkv_requests_cancelled_total " + cancelled));
  EXPECT_THAT(text, Not(HasSubstr("finish_reason=\"cancelled\"")));
  EXPECT_THAT(text, Not(HasSubstr("finish_reason=\"refused\"")));
  const std::string failed =
      std::to_string(20 + static_cast<int>(FinishReason::kFailed));
  const std::string changed =
      std::to_string(20 + static_cast<int>(FinishReason::kModelChanged));
  const std::string name = "rwkv_requests_failed_total{reason=";
  EXPECT_THAT(text, HasSubstr(name + "\"not_finite\"} " + failed));
  EXPECT_THAT(text, HasSubstr(name + "\"model_changed\"} " + changed));
  EXPECT_THAT(text, Not(HasSubstr("finish_reason=\"failed\"")));
  EXPECT_THAT(text, Not(HasSubstr("finish_reason=\"model_changed\"")));
  EXPECT_THAT(text, HasSubstr("finish_reason=\"length\"} 23"));
}

TEST(EngineCollectorTest, HistogramsAreCumulativeAndEndAtInfinity) {
  EngineStats stats;
  stats.queue_seconds.bounds = {0.5, 2};
  stats.queue_seconds.cumulative = {1, 3, 4};
  stats.queue_seconds.sum = 12.5;
  const std::string text = Exposition(stats);
  const std::string name = "rwkv_request_queue_seconds";
  EXPECT_THAT(text, HasSubstr(name + "_bucket{le=\"0.5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{le=\"2\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr(name + "_sum 12.5\n"));
  EXPECT_THAT(text, HasSubstr(name + "_count 4\n"));
}

TEST(EngineCollectorTest, OnlyTheProgressIsExportedDuringLoading) {
  EngineCollector collector;
  EXPECT_THAT(prometheus::TextSerializer().Serialize(collector.Collect()),
              HasSubstr("\nrwkv_load_progress_ratio 0\n"));
  collector.load_progress().Update(1, 4);
  EXPECT_THAT(prometheus::TextSerializer().Serialize(collector.Collect()),
              HasSubstr("\nrwkv_load_progress_ratio 0.25\n"));
  EXPECT_EQ(collector.Collect().size(), 1u);
}

TEST(EngineCollectorTest, EveryMetricHasAHelpText) {
  for (const prometheus::MetricFamily& family :
       ToMetricFamilies(EngineStats())) {
    EXPECT_GT(family.help.size(), 8u) << family.name;
  }
}

}  // namespace
}  // namespace rwkvd
