// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/score_sequence.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine_counters.h"
#include "core/engine/engine_options.h"
#include "core/engine/step_runner.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;

using Tokens = std::vector<int32_t>;

// The scores, and the number of tokens that each step processed.
struct Result {
  Recording recording;
  std::vector<int64_t> step_tokens;
  std::optional<State> state;  // of the last event
};

// A RecordingSink that also keeps the state.
class StateSink : public RecordingSink {
 public:
  void OnScore(const ScoreEvent& event) override {
    RecordingSink::OnScore(event);
    if (event.state != nullptr) state_ = *event.state;
  }
  const std::optional<State>& state() const { return state_; }

 private:
  std::optional<State> state_;
};

Result ScoreOf(const ScoreRequest& request, int32_t max_step_tokens = 256,
               int32_t max_branch_states = 64) {
  Result result;
  const FakeModel model(50, [&](absl::Span<const Chunk> chunks) {
    int64_t tokens = 0;
    for (const Chunk& chunk : chunks) tokens += chunk.tokens.size();
    result.step_tokens.push_back(tokens);
  });
  ThreadPool pool(2);
  EngineCounters counters;
  EngineOptions options;
  options.max_running = 1;
  options.max_step_tokens = max_step_tokens;
  options.max_branch_states = max_branch_states;
  const std::vector<NamedState> start = {{"", model.NewState()}};
  StateCache cache({});
  StepRunner runner(options, &model, start, &cache, &pool, &counters);
  StateSink sink;
  runner.Admit(std::make_unique<ScoreSequence>(1, request, &sink, &counters),
               absl::UnixEpoch());
  std::vector<EndedSequence> ended;
  while (ended.empty()) ended = runner.Step();
  EXPECT_EQ(ended[0].reason, FinishReason::kScored);
  ended[0].sequence->Finish(ended[0].reason, ended[0].status,
                            absl::UnixEpoch());
  result.recording = sink.Peek();
  result.state = sink.state();
  EXPECT_EQ(counters.scored_tokens.value(),
            result.recording.usage.generated_tokens);
  return result;
}

// How a request ends whose continuation begins after the token 39.
FinishReason EndOfScoreAfterBrokenToken(const Tokens& continuation) {
  FakeModel model(50);
  model.BreakAfter(39);
  ThreadPool pool(1);
  EngineCounters counters;
  const std::vector<NamedState> start = {{"", model.NewState()}};
  StateCache cache({});
  StepRunner runner(EngineOptions(), &model, start, &cache, &pool, &counters);
  RecordingSink sink;
  ScoreRequest request;
  request.items = {{{1, 2}, {continuation}}};
  runner.Admit(std::make_unique<ScoreSequence>(1, request, &sink, &counters),
               absl::UnixEpoch());
  std::vector<EndedSequence> ended;
  while (ended.empty()) ended = runner.Step();
  EXPECT_TRUE(sink.Peek().scores.empty() ||
              ended[0].reason == FinishReason::kScored);
  return ended[0].reason;
}

Result Score(const std::vector<ScoreItem>& items,
             int32_t max_step_tokens = 256) {
  ScoreRequest request;
  request.items = items;
  return ScoreOf(request, max_step_tokens);
}

Result Score(const Tokens& context, const std::vector<Tokens>& continuations,
             int32_t max_step_tokens = 256) {
  return Score({{context, continuations}}, max_step_tokens);
}

// The log-probability of one token, computed from the definition.
double LogProbabilityByDefinition(const std::vector<float>& logits,
                                  int32_t id) {
  long double sum = 0;
  for (const float logit : logits) sum += std::exp((long double)logit);
  return logits[id] - std::log(sum);
}

void ExpectScores(const Recording& recording, Tokens context,
                  const std::vector<Tokens>& continuations) {
  const FakeModel model(50);
  if (context.empty()) context = {0};
  ASSERT_EQ(recording.scores.size(), continuations.size());
  for (size_t i = 0; i < continuations.size(); ++i) {
    const Recording::Score& score = recording.scores[i];
    ASSERT_EQ(score.continuation, i);
    ASSERT_EQ(score.tokens.size(), continuations[i].size());
    Tokens history = context;
    double sum = 0;
    for (size_t j = 0; j < continuations[i].size(); ++j) {
      const int32_t id = continuations[i][j];
      const std::vector<float> logits = model.LogitsAfter(history);
      EXPECT_EQ(score.tokens[j].first, id);
      EXPECT_NEAR(score.tokens[j].second,
                  LogProbabilityByDefinition(logits, id), 1e-12);
      EXPECT_EQ(score.is_greedy[j],
                logits[id] == *std::max_element(logits.begin(), logits.end()));
      sum += score.tokens[j].second;
      history.push_back(id);
    }
    EXPECT_EQ(score.logprob_sum, sum);
  }
}

// The first `n` tokens of a greedy continuation of `context`.
Tokens GreedyAfter(Tokens context, int n) {
  const FakeModel model(50);
  Tokens tokens;
  for (int i = 0; i < n; ++i) {
    const std::vector<float> logits = model.LogitsAfter(context);
    tokens.push_back(std::max_element(logits.begin(), logits.end()) -
                     logits.begin());
    context.push_back(tokens.back());
  }
  return tokens;
}

TEST(ScoreSequenceTest, ScoresEachContinuationAfterItsContext) {
  const Tokens context = {3, 1, 4, 1, 5};
  const std::vector<Tokens> continuations = {
      {9, 2, 6}, {5}, {3, 5, 8, 9, 7, 9}, {3}, {2, 3}};
  const Result result = Score(context, continuations);
  ExpectScores(result.recording, context, continuations);
  EXPECT_EQ(result.recording.usage.prompt_tokens, 5);
  EXPECT_EQ(result.recording.usage.generated_tokens, 13);
}

TEST(ScoreSequenceTest, MarksGreedyTokens) {
  const Tokens greedy = GreedyAfter({7}, 6);
  Tokens strays = greedy;
  strays[3] = (strays[3] + 1) % 50;
  const Result result = Score({7}, {greedy, strays});
  ExpectScores(result.recording, {7}, {greedy, strays});
  EXPECT_THAT(result.recording.scores[0].is_greedy,
              ElementsAre(true, true, true, true, true, true));
  EXPECT_FALSE(result.recording.scores[1].is_greedy[3]);
}

TEST(ScoreSequenceTest, EmptyContextProcessesTokenZero) {
  const Result result = Score({}, {{1, 2}});
  ExpectScores(result.recording, {}, {{1, 2}});
  EXPECT_EQ(result.recording.usage.prompt_tokens, 0);
}

TEST(ScoreSequenceTest, ProcessesContextOnceAndShortContinuationsTogether) {
  EXPECT_THAT(Score({1, 2, 3}, {{4, 5}, {6, 7, 8}, {9}}).step_tokens,
              ElementsAre(3, 3));
}

TEST(ScoreSequenceTest, SingleTokensNeedOnlyTheContext) {
  const std::vector<Tokens> continuations(1000, {4});
  EXPECT_THAT(Score({1, 2, 3}, continuations).step_tokens, ElementsAre(3));
}

TEST(ScoreSequenceTest, ProcessesAsManyTokensPerStepAsRowsOfLogits) {
  const Tokens long_one(150, 5);
  const Result result = Score({1}, {long_one, {6, 7}});
  ExpectScores(result.recording, {1}, {long_one, {6, 7}});
  EXPECT_THAT(result.step_tokens, ElementsAre(1, 64, 64, 22));
}

TEST(ScoreSequenceTest, LimitsTheNumberOfStates) {
  std::vector<Tokens> continuations;
  for (int32_t i = 0; i < 40; ++i) continuations.push_back({i, 5});
  const Result result = Score({1}, continuations);
  ExpectScores(result.recording, {1}, continuations);
  EXPECT_THAT(result.step_tokens, ElementsAre(1, 16, 16, 8));
}

TEST(ScoreSequenceTest, ScoresDoNotDependOnTheStepSize) {
  std::vector<Tokens> continuations;
  for (int i = 0; i < 30; ++i) {
    continuations.push_back(Tokens(1 + i * 7 % 11, i));
  }
  const Tokens context(23, 8);
  const Recording whole = Score(context, continuations).recording;
  ExpectScores(whole, context, continuations);
  for (const int32_t max_step_tokens : {2, 3, 5, 8, 13}) {
    EXPECT_TRUE(Score(context, continuations, max_step_tokens)
                    .recording.HasSameAnswer(whole));
  }
}

TEST(ScoreSequenceTest, CommonPrefixOfContinuationsIsProcessedOnce) {
  const std::vector<Tokens> continuations = {{4, 5, 6}, {4, 5, 7, 8}, {4, 5}};
  const Result result = Score({1}, continuations);
  ExpectScores(result.recording, {1}, continuations);
  EXPECT_THAT(result.step_tokens, ElementsAre(1, 2, 1));
}

TEST(ScoreSequenceTest, CommonPrefixOfContextsIsProcessedOnce) {
  const Result result = Score({{{1, 2, 3}, {{4, 5}, {6}}},
                               {{1, 2, 3}, {{4, 7}}},
                               {{1, 2, 8, 9}, {{4, 5}}}});
  // The common 1 2; 3 and 8 9; the 4 after each.
  EXPECT_THAT(result.step_tokens, ElementsAre(2, 3, 2));
  EXPECT_EQ(result.recording.usage.prompt_tokens, 10);
  EXPECT_EQ(result.recording.usage.cached_tokens, 5);
  EXPECT_EQ(result.recording.usage.generated_tokens, 7);
}

TEST(ScoreSequenceTest, ContextsWithoutCommonPrefixShareSteps) {
  const Result result = Score({{{1, 2}, {{3, 4}}}, {{}, {{5}}}, {{6}, {{7}}}});
  EXPECT_THAT(result.step_tokens, ElementsAre(4, 1));
  EXPECT_EQ(result.recording.scores.size(), 3);
}

TEST(ScoreSequenceTest, LongContextsFillSteps) {
  // Although there are only 64 rows of logits.
  const Result result = Score({{Tokens(300, 1), {{3}}}, {Tokens(9, 2), {{4}}}});
  EXPECT_THAT(result.step_tokens, ElementsAre(256, 53));
}

std::vector<ScoreItem> RandomItems(std::mt19937& random) {
  const int32_t vocab_size =
      2 + random() % 3;  // small, so that prefixes are shared
  const auto tokens = [&](int64_t n) {
    Tokens ids(n);
    for (int32_t& id : ids) id = random() % vocab_size;
    return ids;
  };
  std::vector<ScoreItem> items(1 + random() % 6);
  for (ScoreItem& item : items) {
    item.context = tokens(random() % 8);
    for (int i = 1 + random() % 8; i > 0; --i) {
      item.continuations.push_back(tokens(1 + random() % 8));
    }
  }
  return items;
}

TEST(ScoreSequenceTest, GroupingOfItemsChangesNoScore) {
  std::mt19937 random(9);
  for (int round = 0; round < 200; ++round) {
    const std::vector<ScoreItem> items = RandomItems(random);
    const Result grouped = Score(items, 2 + random() % 30);
    size_t next = 0;
    std::set<Tokens> to_read;
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t j = 0; j < items[i].continuations.size(); ++j) {
        ASSERT_LT(next, grouped.recording.scores.size());
        Recording::Score score = grouped.recording.scores[next++];
        ASSERT_EQ(score.item, i);
        ASSERT_EQ(score.continuation, j);
        const Tokens& continuation = items[i].continuations[j];
        const Recording alone =
            Score(items[i].context, {continuation}).recording;
        score.item = score.continuation = 0;
        ASSERT_EQ(score, alone.scores[0]);
        Tokens text = items[i].context;
        if (text.empty()) text.push_back(0);
        text.insert(text.end(), continuation.begin(), continuation.end());
        for (text.pop_back(); !text.empty(); text.pop_back()) {
          to_read.insert(text);
        }
      }
    }
    ASSERT_EQ(next, grouped.recording.scores.size());
    // Every prefix was processed once.
    ASSERT_EQ(std::accumulate(grouped.step_tokens.begin(),
                              grouped.step_tokens.end(), int64_t{0}),
              to_read.size());
  }
}

TEST(ScoreSequenceTest, FewestStatesGiveTheSameScores) {
  std::mt19937 random(10);
  for (int round = 0; round < 200; ++round) {
    ScoreRequest request;
    request.items = RandomItems(random);
    // With 12, a request has only the states that it cannot do without.
    const Result few = ScoreOf(request, 256, BranchStates::kReserved);
    const Result many = ScoreOf(request, 256, 1000);
    ASSERT_EQ(few.recording.scores, many.recording.scores);
    ASSERT_LE(many.step_tokens.size(), few.step_tokens.size());
  }
}

TEST(ScoreSequenceTest, DeepestTreeRunsWithTheFewestStates) {
  ScoreRequest request;
  request.items[0].context = {1};
  for (int leaf = 0; leaf < kMaxScoreTexts; leaf += 4) {
    Tokens& text = request.items[0].continuations.emplace_back();
    for (int bit = 2; bit < 12; ++bit) {
      text.insert(text.end(), 2, leaf >> bit & 1);
    }
  }
  RecordingSink sink;
  EngineCounters counters;
  EXPECT_EQ(ScoreSequence(1, request, &sink, &counters).NumBranchStates(), 10);
  const Result few = ScoreOf(request, 256, BranchStates::kReserved);
  EXPECT_EQ(few.recording.scores, ScoreOf(request).recording.scores);
}

TEST(ScoreSequenceTest, ContinuesFromTheSentState) {
  const Tokens document = {5, 3, 8, 8, 1, 0, 4, 2, 9, 7};
  const Recording whole = Score({}, {document}).recording;
  for (size_t first = 1; first < document.size(); ++first) {
    const Tokens head(document.begin(), document.begin() + first);
    const Tokens tail(document.begin() + first, document.end());
    ScoreRequest request;
    request.items = {{{}, {head}}};
    const Result begun = ScoreOf(request);
    ASSERT_TRUE(begun.state.has_value());
    request.items = {{{head.back()}, {tail}}};
    request.start = std::make_shared<State>(*begun.state);
    const Result rest = ScoreOf(request);
    std::vector<std::pair<int32_t, double>> tokens =
        begun.recording.scores[0].tokens;
    const auto& more = rest.recording.scores[0].tokens;
    tokens.insert(tokens.end(), more.begin(), more.end());
    EXPECT_EQ(tokens, whole.scores[0].tokens);
  }
}

TEST(ScoreSequenceTest, NonFiniteLogitsEndTheRequest) {
  EXPECT_EQ(EndOfScoreAfterBrokenToken({3, 39, 4}), FinishReason::kFailed);
  // Nothing is predicted after the last token.
  EXPECT_EQ(EndOfScoreAfterBrokenToken({3, 4, 39}), FinishReason::kScored);
}

}  // namespace
}  // namespace rwkvd
