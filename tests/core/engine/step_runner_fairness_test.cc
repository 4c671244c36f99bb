// SPDX-License-Identifier: Apache-2.0
// No sequence starves: bounds on waiting under mixed load, in steps.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/schedule/prompt_budget.h"
#include "core/engine/sequence/generate_sequence.h"
#include "core/engine/sequence/score_sequence.h"
#include "core/engine/step_runner.h"
#include "core/engine/vocabulary.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

constexpr int64_t kFairVocab = 40;
constexpr int64_t kForever = 1 << 20;

// A runner on a machine on which prefill is so expensive that steps with
// decodes only prefill the minimum.
class StepRunnerFairnessTest : public ::testing::Test {
 protected:
  struct Running {
    RecordingSink* sink = nullptr;
    int64_t admitted = 0;  // the step before which it was admitted
  };

  StepRunnerFairnessTest()
      : model_(kFairVocab,
               [this](absl::Span<const Chunk> chunks) {
                 step_tokens_ = 0;
                 for (const Chunk& chunk : chunks) {
                   step_tokens_ += chunk.tokens.size();
                 }
                 now_ += absl::Seconds(step_tokens_);
               }),
        tokenizer_(FakeTokenizer::Numbers(kFairVocab)),
        pool_(1) {
    options_.max_running = 24;
    options_.max_step_tokens = 64;
    options_.max_decode_slowdown = 1.1;
    options_.min_step_prompt_tokens = 16;
    options_.state_cache_bytes = 0;
    options_.clock = [this] { return now_; };
    runner_ = std::make_unique<StepRunner>(options_, &model_, start_,
                                           &state_cache_, &pool_, &counters_);
  }

  Running Admit(int64_t prompt, int64_t max_tokens) {
    GenerateRequest request;
    request.prompt.assign(prompt, 3);
    request.max_tokens = max_tokens;
    sinks_.push_back(std::make_unique<RecordingSink>());
    const Running running{sinks_.back().get(), steps_};
    runner_->Admit(
        std::make_unique<GenerateSequence>(
            ++last_id_, request, VocabularyOf(tokenizer_, kFairVocab),
            &tokenizer_, running.sink, &counters_),
        now_);
    return running;
  }

  Running JoinScore(int64_t context, int64_t continuation) {
    ScoreRequest request;
    request.items[0].context.assign(context, 3);
    request.items[0].continuations = {std::vector<int32_t>(continuation, 4)};
    sinks_.push_back(std::make_unique<RecordingSink>());
    const Running running{sinks_.back().get(), steps_};
    runner_->Admit(std::make_unique<ScoreSequence>(++last_id_, request,
                                                   running.sink, &counters_),
                   now_);
    return running;
  }

  void Step() {
    for (const EndedSequence& one : runner_->Step()) {
      one.sequence->Finish(one.reason, one.status, now_);
    }
    ++steps_;
  }

  int64_t Waited(const Running& running) const {
    return steps_ - running.admitted;
  }

  absl::Time now_ = absl::UnixEpoch();
  int64_t step_tokens_ = 0;
  FakeModel model_;
  FakeTokenizer tokenizer_;
  ThreadPool pool_;
  StateCache state_cache_{{}};
  EngineCounters counters_;
  EngineOptions options_;
  const std::vector<NamedState> start_ = {{"", model_.NewState()}};
  std::unique_ptr<StepRunner> runner_;
  std::vector<std::unique_ptr<RecordingSink>> sinks_;
  uint64_t last_id_ = 0;
  int64_t steps_ = 0;
};

// The steps for `tokens` at `share` tokens per step or more, with those in
// which prefill pauses.
int64_t StepsFor(int64_t tokens, int64_t share) {
  const int64_t steps = (tokens + share - 1) / share;
  return steps + steps / PromptBudget::kStepsBetweenMeasurements + 1;
}

TEST_F(StepRunnerFairnessTest, MixedLoadDelaysNoSequence) {
  std::vector<Running> decoders;
  for (int i = 0; i < 8; ++i) decoders.push_back(Admit(1, kForever));
  Step();
  // Two long prompts, a score and a short prompt at any time: the fair share of
  // each is a quarter of 16 tokens.
  std::vector<Running> longs;
  for (int i = 0; i < 2; ++i) longs.push_back(Admit(1000, 1));
  Running score = JoinScore(300, 200);
  Running brief = Admit(10, 1);
  int64_t num_longs = 0, num_scores = 0, num_briefs = 0;
  for (int i = 0; i < 2000; ++i) {
    Step();
    for (const Running& one : decoders) {
      ASSERT_EQ(one.sink->Peek().tokens.size(), Waited(one));
    }
    for (Running& one : longs) {
      ASSERT_LE(Waited(one), 2 * StepsFor(1000, 4));
      if (one.sink->Peek().num_finishes == 0) continue;
      one = Admit(1000, 1);
      ++num_longs;
    }
    ASSERT_LE(Waited(score), 2 * StepsFor(500, 4));
    if (score.sink->Peek().num_finishes > 0) {
      score = JoinScore(300, 200);
      ++num_scores;
    }
    ASSERT_LE(Waited(brief), 2 + 1);  // one in which prefill pauses
    if (brief.sink->Peek().num_finishes > 0) {
      brief = Admit(10, 1);
      ++num_briefs;
    }
  }
  EXPECT_GE(num_longs, 6);
  EXPECT_GE(num_scores, 10);
  EXPECT_GE(num_briefs, 500);
}

TEST_F(StepRunnerFairnessTest, BudgetIsAtLeastATokenForEachPrefill) {
  const Running decoder = Admit(1, kForever);
  Step();
  std::vector<Running> prefills;
  for (int i = 0; i < 20; ++i) prefills.push_back(Admit(50 + i, 1));
  Step();
  EXPECT_EQ(step_tokens_, 1 + 20);
  while (runner_->num_running() > 1) {
    Step();
    for (const Running& one : prefills) {
      ASSERT_LE(Waited(one), 2 * StepsFor(70, 1));
    }
  }
  EXPECT_EQ(decoder.sink->Peek().tokens.size(), steps_);
}

TEST_F(StepRunnerFairnessTest, StepsWithoutDecodesAreFull) {
  Admit(1000, 1);
  Admit(1000, 1);
  for (int i = 0; i < 31; ++i) {
    Step();
    ASSERT_EQ(step_tokens_, 64);
  }
}

TEST_F(StepRunnerFairnessTest, StepsWithDecodesHaveOneSize) {
  for (int i = 0; i < 8; ++i) Admit(1, kForever);
  for (int i = 0; i < 5; ++i) Step();
  Admit(3000, 1);
  int64_t rests = 0;
  for (int i = 0; i < 99; ++i) {
    Step();
    if (step_tokens_ == 8) {
      ++rests;
    } else {
      ASSERT_EQ(step_tokens_, 8 + 16);
    }
  }
  EXPECT_EQ(rests, 3);
}

}  // namespace
}  // namespace rwkvd
