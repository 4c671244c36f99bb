// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/metrics.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "service/memory_budgets.h"
#include "service/metrics/memory_collector.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Exposition(const Metrics& metrics) {
  return prometheus::TextSerializer().Serialize(
      metrics.collectable()->Collect());
}

TEST(MetricsTest, CallsAreCountedByMethodAndStatus) {
  Metrics metrics;
  metrics.CallStarted(Rpc::kGenerate);
  metrics.CallEnded(Rpc::kGenerate, grpc::StatusCode::RESOURCE_EXHAUSTED,
                    absl::Milliseconds(3));
  const std::string text = Exposition(metrics);
  EXPECT_THAT(text,
              HasSubstr("grpc_server_call_started_total{"
                        "grpc_method=\"rwkv.v1.RwkvService/Generate\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("grpc_server_call_started_total{"
                        "grpc_method=\"rwkv.v1.RwkvService/Score\"} 0\n"));
  const std::string labels =
      "{grpc_method=\"rwkv.v1.RwkvService/Generate\","
      "grpc_status=\"RESOURCE_EXHAUSTED\"";
  EXPECT_THAT(text, HasSubstr("grpc_server_call_duration_seconds_count" +
                              labels + "} 1\n"));
  const std::string bucket = "grpc_server_call_duration_seconds_bucket";
  EXPECT_THAT(text, HasSubstr(bucket + labels + ",le=\"0.002\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(bucket + labels + ",le=\"0.003\"} 1\n"));
}

TEST(MetricsTest, CallsThatAreGivenUpAreCountedByReason) {
  Metrics metrics;
  metrics.CallGivenUp(GiveUpReason::kUnread);
  const std::string text = Exposition(metrics);
  const std::string name = "rwkv_calls_given_up_total";
  EXPECT_THAT(text, HasSubstr(name + "{reason=\"unread\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(name + "{reason=\"memory\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(name + "{reason=\"idle\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(name + "{reason=\"slots\"} 0\n"));
}

TEST(MetricsTest, MemoryOfTheBudgetsInUseIsReported) {
  MemoryBudgets budgets{Options()};
  const auto request = budgets.requests.Reserve(5);
  const auto response = budgets.responses->Reserve(7);
  const std::string text = prometheus::TextSerializer().Serialize(
      MemoryCollector(&budgets).Collect());
  EXPECT_THAT(text, HasSubstr("rwkv_request_memory_bytes 5\n"));
  EXPECT_THAT(text, HasSubstr("rwkv_unread_response_bytes 7\n"));
}

TEST(MetricsTest, ModelLatenciesAreLabeledWithTheModelName) {
  Metrics metrics;
  metrics.FirstTokenWritten(absl::Seconds(1));  // not counted without a model
  metrics.SetModelName("demo");
  metrics.FirstTokenWritten(absl::Milliseconds(15));
  const std::string labels =
      "{gen_ai_operation_name=\"text_completion\","
      "gen_ai_provider_name=\"rwkvd\",gen_ai_request_model=\"demo\","
      "gen_ai_response_model=\"demo\"";
  const std::string text = Exposition(metrics);
  const std::string name = "gen_ai_server_time_to_first_token_seconds";
  EXPECT_THAT(text, HasSubstr(name + "_count" + labels + "} 1\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"0.01\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"0.02\"} 1\n"));
}

TEST(MetricsTest, TimePerOutputTokenExcludesTheFirstToken) {
  Metrics metrics;
  metrics.SetModelName("demo");
  Times times;
  times.queue = absl::Seconds(1);
  times.prefill = absl::Seconds(2);
  times.decode = absl::Seconds(8);
  times.first_token = absl::Seconds(3);
  metrics.Generated({1, 0, 5}, times);  // 8 s for 4 tokens
  metrics.Generated({1, 0, 1}, times);  // no token after the first
  const std::string text = Exposition(metrics);
  EXPECT_THAT(text, HasSubstr("gen_ai_server_time_per_output_token_seconds_"
                              "count{gen_ai_operation_name=\"text_"
                              "completion\",gen_ai_provider_name=\"rwkvd\","
                              "gen_ai_request_model=\"demo\",gen_ai_response_"
                              "model=\"demo\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gen_ai_response_model=\"demo\"} 2\n"));  // sum
}

}  // namespace
}  // namespace rwkvd
