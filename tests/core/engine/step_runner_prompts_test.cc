// SPDX-License-Identifier: Apache-2.0
// The order in which running sequences prefill, and what they wait, in steps.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/engine/sequence/score_sequence.h"
#include "gtest/gtest.h"
#include "tests/core/engine/step_runner_fixture.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

// Prefill is so expensive that next to decoding sequences a step prefills the
// minimum, 16 tokens. Each token takes a second.
class StepRunnerPromptsTest : public StepRunnerTest {
 protected:
  static constexpr int64_t kMinPrefill = 16;
  static constexpr int64_t kForever = 1 << 20;

  StepRunnerPromptsTest() {
    options_.max_running = 64;
    options_.max_step_tokens = 256;
    options_.max_decode_slowdown = 1.1;
    options_.min_step_prompt_tokens = kMinPrefill;
    options_.state_cache_bytes = 0;
    options_.clock = [this] { return Now(); };
  }

  absl::Time Now() const {
    return absl::UnixEpoch() + absl::Seconds(seconds_ + StepTokens());
  }

  GenerateRequest Request(int64_t prompt, int64_t max_tokens) const {
    GenerateRequest request;
    request.prompt = Tokens(prompt, 3);
    request.max_tokens = max_tokens;
    request.received = Now();
    return request;
  }

  // The sequence is valid until it ends.
  const Sequence* AdmitScore(int64_t context,
                             const std::vector<int64_t>& continuations) {
    ScoreRequest request;
    request.items[0].context = Tokens(context, 3);
    for (const int64_t tokens : continuations) {
      const auto num = request.items[0].continuations.size();
      request.items[0].continuations.push_back(Tokens(tokens, 4 + num));
    }
    sinks_.push_back(std::make_unique<RecordingSink>());
    auto score = std::make_unique<ScoreSequence>(
        sinks_.size(), request, sinks_.back().get(), &counters_);
    const Sequence* const sequence = score.get();
    runner().Admit(std::move(score), Now());
    return sequence;
  }

  // Of the last step.
  int64_t StepTokens() const {
    return std::accumulate(chunk_sizes_.begin(), chunk_sizes_.end(),
                           int64_t{0});
  }

  void Step() {
    seconds_ += StepTokens();
    StepRunnerTest::Step();
    ++steps_;
  }

  static bool HasResult(const RecordingSink* sink) {
    const Recording recording = sink->Peek();
    return !recording.tokens.empty() || !recording.scores.empty();
  }

  // If no sequence has ended.
  int64_t NumDecoding() const {
    return std::count_if(sinks_.begin(), sinks_.end(), [](const auto& sink) {
      return HasResult(sink.get());
    });
  }

  // Runs steps until all `sinks` have a result. Returns the number of steps
  // that each has waited for its first one.
  std::vector<int64_t> WaitsOf(const std::vector<RecordingSink*>& sinks) {
    std::vector<int64_t> waits(sinks.size());
    const int64_t begin = steps_;
    while (std::count(waits.begin(), waits.end(), 0) > 0) {
      Step();
      for (size_t i = 0; i < sinks.size(); ++i) {
        if (waits[i] == 0 && HasResult(sinks[i])) waits[i] = steps_ - begin;
      }
    }
    return waits;
  }

  int64_t seconds_ = 0;  // before the last step
  int64_t steps_ = 0;
};

double MeanWait(const std::vector<int64_t>& waits) {
  return static_cast<double>(
             std::accumulate(waits.begin(), waits.end(), int64_t{0})) /
         static_cast<double>(waits.size());
}

TEST_F(StepRunnerPromptsTest, EqualPromptsNextToADecodeArePrefilledInTurn) {
  Admit(Request(1, kForever));
  Step();
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 16; ++i) sinks.push_back(Admit(Request(64, 1)));
  const std::vector<int64_t> waits = WaitsOf(sinks);
  // Even sharing would complete all of them in the last of 64 steps, not
  // counting those that only decode.
  EXPECT_LE(MeanWait(waits), 0.6 * 64);
  EXPECT_LE(waits.back(), 64 + 3);
  EXPECT_TRUE(std::is_sorted(waits.begin(), waits.end()));
}

TEST_F(StepRunnerPromptsTest, StepsHaveTheSameSizeWhateverPromptsAreComplete) {
  Admit(Request(1, kForever));
  Step();
  for (int i = 0; i < 10; ++i) Admit(Request(40, kForever));
  for (int i = 0; i < 24; ++i) {
    const int64_t num_decoding = NumDecoding();
    Step();
    ASSERT_EQ(StepTokens(), num_decoding + kMinPrefill);
  }
}

TEST_F(StepRunnerPromptsTest, StepsNextToADecodeAreAsLargeAsWithEvenSharing) {
  Admit(Request(1, kForever));
  Step();
  for (int i = 0; i < 24; ++i) Admit(Request(40, kForever));
  for (int i = 0; i < 32; ++i) {
    const int64_t num_decoding = NumDecoding();
    Step();
    // Even sharing would prefill a token of each.
    ASSERT_EQ(StepTokens(), num_decoding + 24);
  }
}

// With even sharing, no sequence would decode before all prompts are complete,
// so all steps would be full.
TEST_F(StepRunnerPromptsTest, EarlyDecodesDoNotDelayThePromptsAfterThem) {
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 32; ++i) sinks.push_back(Admit(Request(64, kForever)));
  const std::vector<int64_t> waits = WaitsOf(sinks);
  EXPECT_LE(MeanWait(waits), 0.6 * 8);
  // The rows of early decodes take one more step.
  EXPECT_LE(waits.back(), 8 + 1);
  for (const RecordingSink* sink : sinks) {
    EXPECT_GE(sink->Peek().tokens.size(), 1);
  }
}

TEST_F(StepRunnerPromptsTest, EarlyDecodesDoNotDelayPromptsAfterSamples) {
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 8; ++i) {
    const auto shared = std::make_shared<SharedPrompt>(sinks_.size() + 1);
    for (int j = 0; j < 2; ++j) {
      sinks.push_back(Admit(Request(256, kForever), shared));
    }
  }
  const std::vector<int64_t> waits = WaitsOf(sinks);
  EXPECT_LE(MeanWait(waits), 0.75 * 8);
  EXPECT_LE(waits.back(), 8 + 2);
}

TEST_F(StepRunnerPromptsTest, DecodesLimitPrefillOnceEvenSharingWouldHaveThem) {
  Admit(Request(128, kForever));
  for (int i = 0; i < 3; ++i) Admit(Request(2000, kForever));
  // Even sharing would take three steps for the first prompt: 64, 63 and 1 row.
  for (int i = 0; i < 3; ++i) {
    Step();
    EXPECT_EQ(StepTokens(), 256);
  }
  EXPECT_EQ(NumDecoding(), 1);
  Step();
  EXPECT_EQ(StepTokens(), 1 + kMinPrefill);
}

TEST_F(StepRunnerPromptsTest, ShortPromptBehindLongOnesWaitsAtMostTwoSteps) {
  Admit(Request(1, kForever));
  Step();
  for (int i = 0; i < 8; ++i) Admit(Request(2000, kForever));
  for (int round = 0; round < 50; ++round) {
    Step();
    const RecordingSink* const sink = Admit(Request(16, kForever));
    int64_t steps = 0;
    while (!HasResult(sink)) {
      const int64_t num_decoding = NumDecoding();
      Step();
      // Now and then a step only decodes.
      if (StepTokens() > num_decoding) ++steps;
    }
    ASSERT_LE(steps, 2) << round;
  }
}

TEST_F(StepRunnerPromptsTest, SamplesOfOneRequestAreOnePrompt) {
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 8; ++i) {
    const auto shared = std::make_shared<SharedPrompt>(sinks_.size() + 1);
    for (int j = 0; j < 3; ++j) sinks.push_back(Admit(Request(256, 1), shared));
  }
  const std::vector<int64_t> waits = WaitsOf(sinks);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(waits[3 * i], i + 1);
    // The others continue from its state in the next step.
    EXPECT_EQ(waits[3 * i + 1], i + 2);
    EXPECT_EQ(waits[3 * i + 2], i + 2);
  }
}

TEST_F(StepRunnerPromptsTest, ShorterScoresComeFirst) {
  Admit(Request(1000, 1));
  AdmitScore(600, {300});
  AdmitScore(100, {60});
  const std::vector<int64_t> waits =
      WaitsOf({sinks_[0].get(), sinks_[1].get(), sinks_[2].get()});
  EXPECT_EQ(waits[2], 2);  // one for its context
  EXPECT_GT(waits[1], 2);
  EXPECT_GT(waits[0], 2);
}

TEST_F(StepRunnerPromptsTest, DemandOfAScoreIsWhatIsLeftOfAllTexts) {
  options_.max_running = 2;
  options_.max_step_tokens = 16;
  const Sequence* const score = AdmitScore(30, {50, 40});
  // The last token of a text is not processed.
  int64_t left = 30 + 49 + 39;
  while (left > 0) {
    EXPECT_EQ(score->NextDemand().remaining, left);
    Step();
    left -= StepTokens();
  }
  EXPECT_EQ(runner().num_running(), 0);
}

TEST_F(StepRunnerPromptsTest, PromptWithANearDeadlineComesFirst) {
  Admit(Request(300, 1));
  Step();
  // Two seconds for each of its tokens.
  GenerateRequest urgent = Request(500, 1);
  urgent.deadline = urgent.received + absl::Seconds(1000);
  std::vector<RecordingSink*> sinks;
  for (int i = 0; i < 3; ++i) sinks.push_back(Admit(Request(400, 1)));
  sinks.push_back(Admit(urgent));
  const std::vector<int64_t> waits = WaitsOf(sinks);
  EXPECT_EQ(waits[3], 2);
}

}  // namespace
}  // namespace rwkvd
