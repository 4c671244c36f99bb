// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/measurements.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using grpc::StatusCode;

RequestOutcome Whole() {
  RequestOutcome outcome;
  outcome.sent = 0.5;
  outcome.first_token = 2;
  outcome.last_token = 5;
  outcome.ended = 6;
  outcome.prompt_tokens = 10;
  outcome.cached_tokens = 4;
  outcome.tokens = 7;
  outcome.messages = 3;
  return outcome;
}

RequestOutcome Failed(StatusCode code, const char* message) {
  RequestOutcome outcome;
  outcome.status = grpc::Status(code, message);
  outcome.prompt_tokens = 10;
  outcome.ended = 1;
  return outcome;
}

TEST(MeasurementsTest, CountsEverythingOfACompleteAnswer) {
  Measurements seen;
  seen.Add(Whole());
  EXPECT_EQ(seen.requests(), 1);
  EXPECT_EQ(seen.succeeded(), 1);
  EXPECT_EQ(seen.tokens(), 7);
  EXPECT_EQ(seen.messages(), 3);
  EXPECT_EQ(seen.prompt_tokens(), 10);
  EXPECT_EQ(seen.cached_tokens(), 4);
  EXPECT_EQ(seen.start_delay().max(), 0.5);
  EXPECT_EQ(seen.first_token().max(), 2);
  EXPECT_EQ(seen.per_token().max(), 0.5);  // 3 s for the six after the first
  EXPECT_EQ(seen.request().max(), 6);
}

TEST(MeasurementsTest, CountsTheTokensOfARequestCutShort) {
  Measurements seen;
  RequestOutcome outcome = Whole();
  outcome.status = grpc::Status(StatusCode::CANCELLED, "");
  outcome.cut_short = true;
  seen.Add(outcome);
  EXPECT_EQ(seen.cut_short(), 1);
  EXPECT_EQ(seen.failed(), 0);
  EXPECT_EQ(seen.tokens(), 7);
  EXPECT_EQ(seen.prompt_tokens(), 10);
  EXPECT_EQ(seen.first_token().count(), 1);
  EXPECT_EQ(seen.request().count(), 0);
}

TEST(MeasurementsTest, CountsFailuresByStatusAndKeepsTheFirstMessage) {
  Measurements seen;
  seen.Add(Failed(StatusCode::RESOURCE_EXHAUSTED, "full"));
  seen.Add(Failed(StatusCode::RESOURCE_EXHAUSTED, "still full"));
  seen.Add(Failed(StatusCode::UNAVAILABLE, "gone"));
  EXPECT_EQ(seen.failed(), 3);
  EXPECT_EQ(seen.failures().at(StatusCode::RESOURCE_EXHAUSTED).count, 2);
  EXPECT_EQ(seen.failures().at(StatusCode::RESOURCE_EXHAUSTED).example, "full");
  EXPECT_EQ(seen.failures().at(StatusCode::UNAVAILABLE).count, 1);
  // No token arrived, so neither prompt tokens nor token times are counted.
  EXPECT_EQ(seen.prompt_tokens(), 0);
  EXPECT_EQ(seen.first_token().count(), 0);
  EXPECT_EQ(seen.per_token().count(), 0);
}

TEST(MeasurementsTest, MergeAddsAllFields) {
  Measurements seen, other;
  seen.Add(Whole());
  seen.Add(Failed(StatusCode::UNAVAILABLE, "first"));
  seen.AddGap(1);
  other.Add(Whole());
  other.Add(Failed(StatusCode::UNAVAILABLE, "second"));
  other.Add(Failed(StatusCode::INTERNAL, "third"));
  other.AddGap(3);
  seen.Merge(other);
  EXPECT_EQ(seen.requests(), 5);
  EXPECT_EQ(seen.succeeded(), 2);
  EXPECT_EQ(seen.tokens(), 14);
  EXPECT_EQ(seen.prompt_tokens(), 20);
  EXPECT_EQ(seen.cached_tokens(), 8);
  EXPECT_EQ(seen.messages(), 6);
  EXPECT_EQ(seen.failures().at(StatusCode::UNAVAILABLE).count, 2);
  EXPECT_EQ(seen.failures().at(StatusCode::UNAVAILABLE).example, "first");
  EXPECT_EQ(seen.failures().at(StatusCode::INTERNAL).example, "third");
  EXPECT_EQ(seen.between_messages().count(), 2);
  EXPECT_EQ(seen.between_messages().mean(), 2);
  EXPECT_EQ(seen.first_token().count(), 2);
  EXPECT_EQ(seen.per_token().count(), 2);
  EXPECT_EQ(seen.request().count(), 2);
  EXPECT_EQ(seen.start_delay().count(), 5);
}

}  // namespace
}  // namespace rwkvd
