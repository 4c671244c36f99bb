// SPDX-License-Identifier: Apache-2.0
// How flows share the slots, the queue and the steps of an engine.

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_fixture.h"

namespace rwkvd {
namespace {

// An engine with eight slots. A step takes a second of its clock.
class EngineFairnessTest : public EngineFixture {
 protected:
  static constexpr int64_t kLong =
      10'000;  // tokens; more than a test generates

  EngineFairnessTest()
      : EngineFixture(/*max_running=*/8, /*max_queued=*/2000) {}

  GenerateRequest RequestOf(const std::string& flow, const Tokens& prompt,
                            int64_t max_tokens) const {
    GenerateRequest request = Request(prompt, max_tokens);
    request.use_state_cache = false;
    request.flow.name = flow;
    return request;
  }

  absl::Status Try(const GenerateRequest& request) {
    return engine().Submit(request, NewSink()).status();
  }

  RecordingSink* Submit(const GenerateRequest& request) {
    const auto id = engine().Submit(request, NewSink());
    EXPECT_TRUE(id.ok()) << id.status();
    return sinks_.back().get();
  }

  // Waits for a step that has all requests that were submitted before.
  void WaitForSecondStep() {
    gate_.WaitForArrivals(1);
    gate_.Permit(1);
    gate_.WaitForArrivals(2);
  }

  // The steps from the arrival of a request to its end.
  static int64_t StepsOf(RecordingSink* sink) {
    const Times& times = sink->Wait().times;
    return absl::ToInt64Seconds(times.queue + times.prefill + times.decode);
  }
};

TEST_F(EngineFairnessTest, ThousandRequestsOfOneFlowAtMostDoubleTheTimeOfOne) {
  const Tokens prompt(12, 3);
  std::vector<RecordingSink*> others;
  for (int i = 0; i < 1000; ++i) {
    others.push_back(Submit(RequestOf("a", prompt, 30)));
  }
  gate_.WaitForArrivals(1);
  RecordingSink* const one = Submit(RequestOf("b", prompt, 24));
  gate_.Open();
  const int64_t busy = StepsOf(one);
  for (RecordingSink* other : others) other->Wait();
  EXPECT_LE(busy, 2 * StepsOf(Submit(RequestOf("b", prompt, 24))));
}

TEST_F(EngineFairnessTest, OneFlowLeavesAnEighthOfTheSlotsToOthers) {
  for (int i = 0; i < 20; ++i) Submit(RequestOf("a", {1}, kLong));
  gate_.WaitForArrivals(1);
  gate_.Open();
  RecordingSink* const other = Submit(RequestOf("b", {1}, 5));
  EXPECT_EQ(other->Wait().reason, FinishReason::kLength);
  EXPECT_EQ(engine().Stats().running, 7);
}

TEST_F(EngineFairnessTest, OneFlowLeavesTheLastOfFewSlotsToOthers) {
  options_.max_running = 2;
  for (int i = 0; i < 5; ++i) Submit(RequestOf("a", {1}, kLong));
  WaitForSecondStep();
  EXPECT_EQ(engine().Stats().running, 1);
}

TEST_F(EngineFairnessTest, FlowWithoutANameUsesAllSlots) {
  for (int i = 0; i < 20; ++i) Submit(RequestOf("", {1}, kLong));
  WaitForSecondStep();
  EXPECT_EQ(engine().Stats().running, 8);
}

TEST_F(EngineFairnessTest, FlowRunsAtMostItsOwnLimit) {
  GenerateRequest request = RequestOf("a", {1}, kLong);
  request.flow.max_running = 2;
  for (int i = 0; i < 5; ++i) Submit(request);
  WaitForSecondStep();
  EXPECT_EQ(engine().Stats().running, 2);
}

TEST_F(EngineFairnessTest, FlowBeyondItsOwnQueueIsRefused) {
  GenerateRequest request = RequestOf("a", {1}, kLong);
  request.flow.max_running = 1;
  request.flow.max_queued = 1;
  Submit(request);
  Submit(request);
  const absl::Status refused = Try(request);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(QuotaOf(refused), "max_queued");
  EXPECT_TRUE(Try(RequestOf("b", {1}, kLong)).ok());
}

TEST_F(EngineFairnessTest, OneFlowLeavesAnEighthOfTheQueueToOthers) {
  options_.max_queued = 8;
  absl::Status refused;
  int64_t accepted = 0;
  while ((refused = Try(RequestOf("a", {1}, kLong))).ok()) ++accepted;
  EXPECT_EQ(accepted, 14);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kQueueFull);
  EXPECT_TRUE(Try(RequestOf("b", {1}, kLong)).ok());
  EXPECT_FALSE(Try(RequestOf("b", {1}, kLong)).ok());
  EXPECT_TRUE(Try(RequestOf("c", {1}, kLong)).ok());
}

TEST_F(EngineFairnessTest, OneFlowLeavesHalfOfTheTokensToOthers) {
  options_.max_prompt_tokens = 10;
  options_.max_generated_tokens = 100;
  options_.max_total_tokens = 200;
  EXPECT_TRUE(Try(RequestOf("a", {1}, 80)).ok());
  EXPECT_EQ(ReasonOf(Try(RequestOf("a", {1}, 30))),
            ErrorReason::kTotalTokensExceeded);
  EXPECT_TRUE(Try(RequestOf("b", {1}, 80)).ok());
}

TEST_F(EngineFairnessTest, OneFlowLeavesAnEighthOfTheMemoryToOthers) {
  options_.max_request_bytes = 1 << 20;
  absl::Status refused;
  int64_t accepted = 0;
  while ((refused = Try(RequestOf("a", {1}, 10))).ok()) ++accepted;
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kRequestMemoryExhausted);
  EXPECT_EQ(QuotaOf(refused), "request_memory");
  EXPECT_THAT(refused.message(), testing::HasSubstr("of this identity"));
  EXPECT_THAT(refused.message(), testing::HasSubstr("of at most 917504 bytes"));
  int64_t of_others = 0;
  while ((refused = Try(RequestOf("", {1}, 10))).ok()) ++of_others;
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kRequestMemoryExhausted);
  EXPECT_NEAR(accepted, 7 * of_others, 14);
}

TEST_F(EngineFairnessTest, MemoryOfAFlowIsFreeWhenItsRequestsHaveEnded) {
  options_.max_request_bytes = 1 << 20;
  gate_.Open();
  for (int i = 0; i < 3; ++i) {
    std::vector<RecordingSink*> sinks;
    for (int n = 0; n < 40; ++n) {
      sinks.push_back(Submit(RequestOf("a", {1}, 10)));
    }
    for (RecordingSink* sink : sinks) sink->Wait();
  }
}

// It would be refused for ever.
TEST_F(EngineFairnessTest, MoreSamplesThanAFlowMayHaveAreAnError) {
  GenerateRequest request = RequestOf("a", {1}, 10);
  request.flow.max_running = 1;
  request.flow.max_queued = 2;
  const auto status = engine().Reserve(request, 4).status();
  EXPECT_EQ(ReasonOf(status), ErrorReason::kRequestTooLarge);
  EXPECT_EQ(FieldOf(status), "samples");
  EXPECT_TRUE(engine().Reserve(request, 3).ok());
}

// The results of requests are those that they have alone.
TEST_F(EngineFairnessTest, OutputDoesNotDependOnOtherFlows) {
  gate_.Open();
  const Tokens prompt = {5, 6, 7};
  const auto alone = Submit(RequestOf("a", prompt, 10))->Wait().tokens;
  std::vector<RecordingSink*> sinks;
  for (const char* flow : {"a", "b", "a", "c", "b", ""}) {
    sinks.push_back(Submit(RequestOf(flow, prompt, 10)));
  }
  for (RecordingSink* sink : sinks) EXPECT_EQ(sink->Wait().tokens, alone);
}

}  // namespace
}  // namespace rwkvd
