// SPDX-License-Identifier: Apache-2.0
// The law of speculation: with drafts or without them, every answer, snapshot
// and cached prefix is the same.

#include "core/engine/speculation.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/engine/snapshot.h"
#include "gtest/gtest.h"
#include "tests/core/engine/engine_laws_fixture.h"
#include "tests/core/engine/random_requests.h"
#include "tests/core/engine/step_runner_fixture.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

constexpr auto kLookup = static_cast<size_t>(DraftKind::kPromptLookup);
constexpr auto kForced = static_cast<size_t>(DraftKind::kForcedText);

// A clock that stands still: steps with drafts seem to cost nothing, so every
// guess is verified.
absl::Time NoTime() { return absl::UnixEpoch(); }

EngineOptions Drafting(int32_t max_draft_tokens) {
  EngineOptions options;
  options.max_draft_tokens = max_draft_tokens;
  options.clock = NoTime;
  return options;
}

// A request with few possible tokens, so that the output repeats itself and
// guesses are sometimes right.
GenerateRequest RepetitiveRequest(std::mt19937& random) {
  GenerateRequest request = RandomGenerate(random);
  Tokens& allowed = request.sampling.allowed_tokens;
  allowed = RandomTokens(random, 1 + static_cast<int64_t>(random() % 3));
  for (int32_t& token : allowed) token = std::max(token, 1);  // never the end
  request.sampling.banned_tokens.clear();
  request.max_tokens = 1 + static_cast<int64_t>(random() % 60);
  request.prompt = RandomTokens(random, static_cast<int64_t>(random() % 8));
  Tokens& forced = request.sampling.forced_tokens;
  forced.resize(random() % 3 == 0 ? random() % 30 : 0);
  for (int32_t& token : forced) token = allowed[random() % allowed.size()];
  request.snapshot_at_end = random() % 2 == 0;
  return request;
}

bool HaveSameSnapshots(const Recording& a, const Recording& b) {
  if ((a.snapshot == nullptr) != (b.snapshot == nullptr)) return false;
  if (a.snapshot == nullptr) return true;
  const ModelIdentity identity = {"any", std::string(64, 'a'), 4};
  return *SerializeSnapshot(*a.snapshot, identity) ==
         *SerializeSnapshot(*b.snapshot, identity);
}

class SpeculationLawsTest : public EngineLawsTest {};

TEST_F(SpeculationLawsTest, AnyNumberOfDraftTokensChangesNoAnswer) {
  std::mt19937 random(21);
  EngineStats stats;
  uint64_t drafted = 0, accepted = 0, forced = 0;
  for (const int32_t max_draft_tokens : {1, 2, 5, 16, kMaxDraftTokens}) {
    std::vector<Request> requests;
    for (int i = 0; i < 60; ++i) {
      requests.emplace_back(RepetitiveRequest(random));
    }
    for (Request& request : RandomRequests(random, 10)) {
      requests.push_back(std::move(request));
    }
    const std::vector<Recording> plain = RunAlone(requests);
    EngineOptions options = Drafting(max_draft_tokens);
    options.max_running = 1 + static_cast<int32_t>(random() % 12);
    options.max_step_tokens =
        options.max_running + 1 + static_cast<int32_t>(random() % 40);
    options.max_queued = 100;
    const std::vector<Recording> fast =
        Run(options, 1 + static_cast<int>(random() % 3), requests, &stats);
    ExpectSameAnswers(fast, plain);
    for (size_t i = 0; i < fast.size(); ++i) {
      EXPECT_TRUE(HaveSameSnapshots(fast[i], plain[i])) << "request " << i;
    }
    drafted += stats.drafted_tokens[kLookup];
    accepted += stats.accepted_tokens[kLookup];
    forced += stats.accepted_tokens[kForced];
  }
  // Guesses were right and wrong.
  EXPECT_GT(accepted, 500);
  EXPECT_GT(drafted, accepted + 500);
  EXPECT_GT(forced, 100);
}

TEST_F(SpeculationLawsTest, CachedPrefixesAreTheSame) {
  std::mt19937 random(22);
  std::vector<Request> requests;
  for (int i = 0; i < 40; ++i) {
    GenerateRequest request = RepetitiveRequest(random);
    request.use_state_cache = true;
    request.echo = false;
    request.initial_state = 0;
    const Recording answer = RunAlone({request})[0];
    GenerateRequest next = request;
    const std::vector<int32_t> ids = answer.Ids();
    next.prompt.insert(next.prompt.end(), ids.begin(), ids.end());
    requests.emplace_back(request);
    requests.emplace_back(next);
  }
  // One after the other, so that each finds the prefixes of those before it.
  EngineOptions plain_options;
  plain_options.max_running = 1;
  EngineOptions options = Drafting(8);
  options.max_running = 1;
  const std::vector<Recording> plain = Run(plain_options, 1, requests);
  EngineStats stats;
  const std::vector<Recording> fast = Run(options, 1, requests, &stats);
  ExpectSameAnswers(fast, plain);
  for (size_t i = 0; i < fast.size(); ++i) {
    EXPECT_EQ(fast[i].usage.cached_tokens, plain[i].usage.cached_tokens) << i;
  }
  EXPECT_GT(stats.accepted_tokens[kLookup], 0);
  EXPECT_GT(stats.state_cache_hits, 20);
}

// The number of steps shows that drafts save some, the chunks that they are
// verified together.
class SpeculationStepsTest : public StepRunnerTest {
 protected:
  SpeculationStepsTest() {
    options_.max_draft_tokens = 4;
    options_.clock = NoTime;
  }

  // A request of which only token 7 can be sampled.
  static GenerateRequest Sevens(int64_t max_tokens) {
    GenerateRequest request;
    request.prompt = {1, 7, 7, 7};
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0;
    request.sampling.allowed_tokens = {7};
    return request;
  }
};

TEST_F(SpeculationStepsTest, RightGuessesSaveSteps) {
  RecordingSink* const sink = Admit(Sevens(100));
  int steps = 0;
  for (; runner().num_running() > 0; ++steps) Step();
  const Recording answer = sink->Wait();
  EXPECT_EQ(answer.Ids(), Tokens(100, 7));
  EXPECT_LE(steps, 30);
  EXPECT_EQ(answer.usage.generated_tokens, 100);
  EXPECT_EQ(answer.usage.accepted_draft_tokens, 100 - steps);
  EXPECT_EQ(counters_.generated_tokens.value(), 100);
  EXPECT_EQ(counters_.accepted_tokens[kLookup].value(), 100 - steps);
  EXPECT_GE(counters_.drafted_tokens[kLookup].value(), 100 - steps);
}

TEST_F(SpeculationStepsTest, DraftNeverExceedsTheOutput) {
  for (int64_t max_tokens = 1; max_tokens < 12; ++max_tokens) {
    GenerateRequest request = Sevens(max_tokens);
    request.sampling.forced_tokens = Tokens(20, 7);
    RecordingSink* const sink = Admit(request);
    StepUntilNothingRuns();
    EXPECT_EQ(sink->Wait().Ids(), Tokens(max_tokens, 7));
  }
  // Every draft token was accepted.
  EXPECT_EQ(counters_.drafted_tokens[kForced].value(),
            counters_.accepted_tokens[kForced].value());
  EXPECT_GT(counters_.accepted_tokens[kForced].value(), 0);
}

TEST_F(SpeculationStepsTest, NothingIsDraftedWhileAPromptIsPrefilled) {
  options_.max_step_tokens = 8;
  Admit(Sevens(200));
  while (chunk_sizes_ != std::vector<int64_t>{5}) Step();
  Admit(Tokens(50, 3), 1);
  bool prefills = true;
  for (int i = 0; i < 100 && prefills; ++i) {
    Step();
    prefills = runner().num_running() == 2;
    if (prefills && chunk_sizes_.size() == 2) {
      EXPECT_EQ(chunk_sizes_[0], 1);
    }
  }
  EXPECT_FALSE(prefills);
}

TEST_F(SpeculationStepsTest, DraftsLeaveRoomInAStep) {
  options_.max_running = 3;
  options_.max_step_tokens = 5;
  for (int i = 0; i < 3; ++i) Admit(Sevens(30));
  bool drafted = false;
  while (runner().num_running() > 0) {
    Step();
    int64_t rows = 0;
    for (const int64_t size : chunk_sizes_) rows += size;
    EXPECT_LE(rows, 5);
    drafted |= rows > 3;
  }
  EXPECT_TRUE(drafted);
}

TEST_F(SpeculationStepsTest, StopStringEndsTheAnswerWithinADraft) {
  GenerateRequest request = Sevens(100);
  request.stop_strings = {"<7><7><7><7><7><7><7><7><7><7><7>"};
  request.snapshot_at_end = true;
  const RecordingSink* const sink = Admit(request);
  StepUntilNothingRuns();
  const Recording answer = sink->Peek();
  EXPECT_EQ(answer.reason, FinishReason::kStopString);
  EXPECT_EQ(answer.tokens.size(), 11u);
  // The last token is pending; the state is the one before it.
  ASSERT_NE(answer.snapshot, nullptr);
  Tokens processed = request.prompt;
  processed.resize(processed.size() + 10, 7);
  EXPECT_EQ(answer.snapshot->state, model_.StateAfter(processed));
  processed.push_back(7);
  EXPECT_EQ(answer.snapshot->tokens, processed);
  EXPECT_EQ(answer.snapshot->num_pending, 1);
}

TEST_F(SpeculationStepsTest, LogitsThatAreNotFiniteEndTheAnswerAtTheSameToken) {
  model_.BreakAfter(9);
  for (const int32_t max_draft_tokens : {0, 4}) {
    options_.max_draft_tokens = max_draft_tokens;
    runner_ = nullptr;
    GenerateRequest request;
    request.prompt = {1, 2};
    request.max_tokens = 20;
    request.sampling.forced_tokens = {3, 4, 5, 6, 7, 8, 9, 10, 11};
    const RecordingSink* const sink = Admit(request);
    StepUntilNothingRuns();
    const Recording answer = sink->Peek();
    EXPECT_EQ(answer.reason, FinishReason::kFailed);
    EXPECT_EQ(answer.Ids(), (Tokens{3, 4, 5, 6, 7, 8, 9}));
  }
}

TEST_F(SpeculationStepsTest, SuspendedBetweenDraftsHasTheSameSnapshot) {
  std::vector<std::shared_ptr<const Snapshot>> snapshots;
  for (const int32_t max_draft_tokens : {0, 4}) {
    options_.max_draft_tokens = max_draft_tokens;
    runner_ = nullptr;
    GenerateRequest request = Sevens(100);
    request.snapshot_on_drain = true;
    request.sampling.temperature = 1;
    request.sampling.frequency_penalty = 0.1f;
    RecordingSink* const sink = Admit(request);
    while (sink->Peek().tokens.size() < 24) Step();
    auto removed = runner().Remove([](const Sequence&) { return true; });
    removed[0]->Suspend();
    removed[0]->Finish(FinishReason::kCancelled, absl::OkStatus(), NoTime());
    snapshots.push_back(sink->Peek().snapshot);
  }
  const Snapshot& plain = *snapshots[0];
  const Snapshot& fast = *snapshots[1];
  // The drafting one may be some tokens ahead, in a consistent state.
  ASSERT_GE(fast.tokens.size(), plain.tokens.size());
  EXPECT_EQ(fast.num_pending, 1);
  EXPECT_EQ(fast.generated_tokens + 4,
            static_cast<int64_t>(fast.tokens.size()));
  EXPECT_EQ(fast.sampler.num_random_draws, fast.generated_tokens);
  EXPECT_EQ(
      fast.state,
      model_.StateAfter(
          absl::MakeConstSpan(fast.tokens).first(fast.tokens.size() - 1)));
}

}  // namespace
}  // namespace rwkvd
