// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/bench_report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

namespace v1 = ::rwkv::v1;

// The result of two seconds with one request of 7 tokens, and one rejected
// request.
BenchResult TestResult() {
  BenchResult result;
  result.seconds = 2;
  RequestOutcome whole;
  whole.first_token = 0.25;
  whole.last_token = 1;
  whole.ended = 1.5;
  whole.prompt_tokens = 10;
  whole.cached_tokens = 5;
  whole.tokens = 7;
  whole.messages = 4;
  result.measurements.Add(whole);
  RequestOutcome refused;
  refused.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                "the queue is full\xff");
  result.measurements.Add(refused);
  for (int i = 1; i <= 100; ++i) result.measurements.AddGap(i * 1e-3);
  return result;
}

v1::GetModelResponse TestModel() {
  v1::GetModelResponse model;
  model.set_name("demo");
  model.set_num_threads(2);
  return model;
}

TEST(BenchReportTest, TextContainsRatesAndFailures) {
  const std::string text =
      TextReport(BenchOptions(), TestModel(), TestResult());
  EXPECT_THAT(text, HasSubstr("closed loop, concurrency 8"));
  EXPECT_THAT(text, HasSubstr("2 requests in 2.00 s: 1 succeeded, 1 failed, "));
  EXPECT_THAT(text,
              HasSubstr("RESOURCE_EXHAUSTED: 1; first message: the queue"));
  EXPECT_THAT(text, HasSubstr("0.50 requests/s, 3.5 tokens/s generated, 5.0 "
                              "tokens/s of prompts (50.0 % cached), 1.75 "));
  EXPECT_THAT(text, Not(HasSubstr("delay of sending")));
}

TEST(BenchReportTest, TextOfAnOpenLoopContainsRateAndDelays) {
  BenchOptions options;
  options.rate = 2.5;
  const std::string text = TextReport(options, TestModel(), TestResult());
  EXPECT_THAT(text, HasSubstr("open loop, 2.5 requests/s"));
  EXPECT_THAT(text, HasSubstr("delay of sending"));
}

TEST(BenchReportTest, JsonIsOneLineWithTheSameValues) {
  const std::string text =
      JsonReport(BenchOptions(), TestModel(), TestResult());
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["model"]["name"], "demo");
  EXPECT_EQ(json["options"]["prompt_tokens"], "64");
  EXPECT_EQ(json["requests"]["total"], 2);
  EXPECT_EQ(json["requests"]["succeeded"], 1);
  EXPECT_EQ(json["failures"]["RESOURCE_EXHAUSTED"]["count"], 1);
  EXPECT_EQ(json["tokens"]["generated"], 7);
  EXPECT_EQ(json["throughput"]["generated_tokens_per_second"], 3.5);
  EXPECT_EQ(json["latency_seconds"]["time_to_first_token"]["p99"], 0.25);
  const auto& gaps = json["latency_seconds"]["between_messages"];
  EXPECT_EQ(gaps["count"], 100);
  EXPECT_NEAR(gaps["p50"].get<double>(), 0.050, 0.0003);
  EXPECT_NEAR(gaps["p90"].get<double>(), 0.090, 0.0005);
  EXPECT_NEAR(gaps["p95"].get<double>(), 0.095, 0.0005);
  EXPECT_NEAR(gaps["p99"].get<double>(), 0.099, 0.0005);
  EXPECT_EQ(gaps["max"], 0.1);
}

TEST(BenchReportTest, ReportsARunWithoutRequests) {
  const BenchResult nothing;
  EXPECT_THAT(TextReport(BenchOptions(), TestModel(), nothing),
              HasSubstr("(none)"));
  EXPECT_EQ(nlohmann::json::parse(JsonReport(BenchOptions(), TestModel(),
                                             nothing))["requests"]["total"],
            0);
}

}  // namespace
}  // namespace rwkvd
