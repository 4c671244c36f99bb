// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine_options.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(EngineOptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(Validate(EngineOptions()).ok());
}

TEST(EngineOptionsTest, MaxStepTokensMustExceedMaxRunning) {
  EngineOptions options;
  options.max_running = 8;
  options.max_step_tokens = 9;
  EXPECT_TRUE(Validate(options).ok());
  options.max_step_tokens = 8;
  EXPECT_EQ(Validate(options).message(), "max_step_tokens: 8 is less than 9");
}

TEST(EngineOptionsTest, ErrorNamesTheMemberAndItsMinimum) {
  EngineOptions options;
  options.idle_after = absl::Seconds(-1);
  EXPECT_EQ(Validate(options).message(), "idle_after: -1s is less than 0");
  options = {};
  options.max_running = 0;
  EXPECT_EQ(Validate(options).message(), "max_running: 0 is less than 1");
  options = {};
  options.max_queued = -1;
  EXPECT_EQ(Validate(options).message(), "max_queued: -1 is less than 0");
  options = {};
  options.max_decode_slowdown = 1;
  EXPECT_EQ(Validate(options).message(),
            "max_decode_slowdown: 1 is not above 1");
  options = {};
  options.min_step_prompt_tokens = 0;
  EXPECT_EQ(Validate(options).message(),
            "min_step_prompt_tokens: 0 is less than 1");
  options = {};
  options.max_draft_tokens = -1;
  EXPECT_EQ(Validate(options).message(), "max_draft_tokens: -1 is less than 0");
  options.max_draft_tokens = kMaxDraftTokens + 1;
  EXPECT_EQ(Validate(options).message(),
            "max_draft_tokens: 65 is more than 64");
  options = {};
  options.max_prompt_tokens = 0;
  EXPECT_EQ(Validate(options).message(), "max_prompt_tokens: 0 is less than 1");
  options = {};
  options.max_generated_tokens = -3;
  EXPECT_EQ(Validate(options).message(),
            "max_generated_tokens: -3 is less than 1");
  options = {};
  options.max_queue_time = absl::ZeroDuration();
  EXPECT_EQ(Validate(options).message(), "max_queue_time: 0 is not above 0");
  options = {};
  options.max_prompt_tokens = 5;
  options.max_generated_tokens = 6;
  options.max_total_tokens = 10;
  EXPECT_EQ(Validate(options).message(),
            "max_total_tokens: 10 is less than 11");
  options = {};
  options.max_score_tokens = 0;
  EXPECT_EQ(Validate(options).message(), "max_score_tokens: 0 is less than 1");
  options = {};
  options.max_top_logprobs = -1;
  EXPECT_EQ(Validate(options).message(), "max_top_logprobs: -1 is less than 0");
  options = {};
  options.state_cache_bytes = -1;
  EXPECT_EQ(Validate(options).message(),
            "state_cache_bytes: -1 is less than 0");
  options = {};
  options.state_cache_interval = -1;
  EXPECT_EQ(Validate(options).message(),
            "state_cache_interval: -1 is less than 0");
  options = {};
  options.max_pinned_bytes = -1;
  EXPECT_EQ(Validate(options).message(), "max_pinned_bytes: -1 is less than 0");
  options = {};
  options.max_pinned = -1;
  EXPECT_EQ(Validate(options).message(), "max_pinned: -1 is less than 0");
}

}  // namespace
}  // namespace rwkvd
