// SPDX-License-Identifier: Apache-2.0
// The laws of tests/README.md that concern the engine, on random mixes of
// requests: an answer depends on nothing but its request.

#include <cstddef>
#include <cstdint>
#include <random>
#include <variant>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "gtest/gtest.h"
#include "tests/core/engine/engine_laws_fixture.h"
#include "tests/core/engine/random_requests.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

TEST_F(EngineLawsTest, AnswerAloneEqualsAnswerAmongOthers) {
  std::mt19937 random(11);
  for (int round = 0; round < 12; ++round) {
    const std::vector<Request> requests = RandomRequests(random, 30);
    const std::vector<Recording> alone = RunAlone(requests);
    EngineOptions options;
    options.max_running = 1 + random() % 12;
    options.max_step_tokens = options.max_running + 1 + random() % 40;
    options.state_cache_bytes = 0;
    ExpectSameAnswers(Run(options, 1 + random() % 3, requests), alone);
  }
}

TEST_F(EngineLawsTest, CacheOfAnySizeChangesNoAnswer) {
  std::mt19937 random(12);
  uint64_t hits = 0;
  uint64_t evictions = 0;
  for (const int64_t cache_bytes : {300, 1000, 3000, 30000, 1 << 20}) {
    const std::vector<Request> requests = RandomRequests(random, 100);
    const std::vector<Recording> alone = RunAlone(requests);
    EngineOptions options;
    options.max_running = 4;
    options.max_step_tokens = 16;
    options.state_cache_bytes = cache_bytes;
    options.state_cache_interval = random() % 9;
    EngineStats stats;
    ExpectSameAnswers(Run(options, 2, requests, &stats), alone);
    EXPECT_LE(stats.state_cache_bytes, cache_bytes);
    hits += stats.state_cache_hits;
    evictions += stats.state_cache_evictions;
  }
  // The cache was used.
  EXPECT_GT(hits, 50);
  EXPECT_GT(evictions, 50);
}

// A prompt with the tokens of its initial state in front.
Tokens Spelled(int32_t initial_state, const Tokens& prompt) {
  Tokens tokens = kInitialTokens[initial_state];
  if (prompt.empty()) tokens.push_back(0);
  tokens.insert(tokens.end(), prompt.begin(), prompt.end());
  return tokens;
}

GenerateRequest Spelled(GenerateRequest request) {
  request.prompt = Spelled(request.initial_state, request.prompt);
  request.initial_state = 0;
  return request;
}

ScoreRequest Spelled(ScoreRequest request) {
  for (ScoreItem& item : request.items) {
    item.context = Spelled(request.initial_state, item.context);
  }
  request.initial_state = 0;
  return request;
}

TEST_F(EngineLawsTest, InitialStateEqualsPrefillOfItsTokens) {
  std::mt19937 random(16);
  for (int round = 0; round < 5; ++round) {
    std::vector<Request> chosen, spelled;
    for (int i = 0; i < 60; ++i) {
      GenerateRequest generate = RandomGenerate(random);
      // Tokens of the initial state are not part of the prompt.
      generate.sampling.penalty_scope = PenaltyScope::kOutput;
      const ScoreRequest score = RandomScore(random);
      chosen.insert(chosen.end(), {generate, score});
      spelled.emplace_back(Spelled(generate));
      spelled.emplace_back(Spelled(score));
    }
    EngineOptions options;
    options.max_running = 4;
    const std::vector<Recording> a = Run(options, 2, chosen);
    const std::vector<Recording> b = RunAlone(spelled);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].tokens, b[i].tokens) << "request " << i;
      EXPECT_EQ(a[i].scores, b[i].scores) << "request " << i;
    }
  }
}

TEST_F(EngineLawsTest, ForkedConversationEqualsTwoSeparateOnes) {
  std::mt19937 random(13);
  const Tokens shared = RandomTokens(random, 30);
  std::vector<Request> requests;
  for (int32_t i = 0; i < 10; ++i) {
    GenerateRequest request;
    request.prompt = shared;
    if (i > 0) request.prompt.push_back(i);
    request.max_tokens = 15;
    request.sampling.seed = i;
    requests.push_back(request);
  }
  EngineOptions options;
  options.max_running = 1;  // so that the first request stores its prompt
  EngineStats stats;
  const std::vector<Recording> forked = Run(options, 1, requests, &stats);
  EXPECT_EQ(stats.state_cache_hits, 9);
  EXPECT_EQ(stats.prompt_tokens, 30 + 9);
  ExpectSameAnswers(forked, RunAlone(requests));
}

// Law 3: sample i equals the request alone with seed + i.
TEST_F(EngineLawsTest, SamplesEqualSeparateRequestsWithTheirSeeds) {
  std::mt19937 random(17);
  std::vector<Request> alone;
  std::vector<RecordingSink> sinks(200);
  ThreadPool pool(2);
  std::vector<NamedState> initial_states;
  for (const Tokens& tokens : kInitialTokens) {
    initial_states.push_back({"", model_.StateAfter(tokens)});
  }
  EngineOptions options;
  options.max_running = 6;
  options.max_queued = 1000;
  options.max_step_tokens = 16;
  Engine engine(options, &model_, &tokenizer_, &pool, initial_states);
  while (alone.size() < sinks.size()) {
    GenerateRequest request = RandomGenerate(random);
    request.echo = false;  // only one sample would send the prompt
    std::vector<GenerateSink*> group;
    const size_t n = 1 + random() % options.max_running;
    while (group.size() < n && alone.size() < sinks.size()) {
      group.push_back(&sinks[alone.size()]);
      GenerateRequest sample = request;
      sample.sampling.seed += group.size() - 1;
      alone.push_back(sample);
    }
    ASSERT_TRUE(engine.Submit(request, group).ok());
  }
  std::vector<Recording> samples;
  for (RecordingSink& sink : sinks) samples.push_back(sink.Wait());
  ExpectSameAnswers(samples, RunAlone(alone));
}

TEST_F(EngineLawsTest, RequestedLogprobsChangeNoToken) {
  std::mt19937 random(14);
  std::vector<Request> with, without;
  for (int i = 0; i < 50; ++i) {
    GenerateRequest request = RandomGenerate(random);
    with.push_back(request);
    request.want_logprobs = false;
    request.top_logprobs = 0;
    request.want_sampled_logprobs = false;
    request.top_sampled_logprobs = 0;
    without.push_back(request);
  }
  const std::vector<Recording> a = Run({}, 2, with);
  const std::vector<Recording> b = Run({}, 2, without);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].Ids(), b[i].Ids());
}

TEST_F(EngineLawsTest, EchoEqualsScoreOfThePrompt) {
  std::mt19937 random(18);
  std::vector<Request> generates, scores;
  for (int i = 0; i < 60; ++i) {
    GenerateRequest generate = RandomGenerate(random);
    generate.prompt = RandomTokens(random, 2 + random() % 90);
    generate.echo = true;
    ScoreRequest score;
    score.initial_state = generate.initial_state;
    score.items[0].context = {generate.prompt[0]};
    score.items[0].continuations = {
        Tokens(generate.prompt.begin() + 1, generate.prompt.end())};
    generates.emplace_back(generate);
    scores.emplace_back(score);
  }
  EngineOptions options;
  options.max_running = 5;
  options.max_step_tokens = 30;
  const std::vector<Recording> echoed = Run(options, 2, generates);
  const std::vector<Recording> scored = Run({}, 2, scores);
  for (size_t i = 0; i < generates.size(); ++i) {
    const auto& generate = std::get<GenerateRequest>(generates[i]);
    const Recording::Score& score = scored[i].scores[0];
    ASSERT_EQ(echoed[i].prompt.size(), generate.prompt.size());
    EXPECT_FALSE(echoed[i].prompt[0].logprob.has_value());
    for (size_t j = 0; j < generate.prompt.size(); ++j) {
      const Recording::PromptToken& token = echoed[i].prompt[j];
      ASSERT_EQ(token.id, generate.prompt[j]);
      if (j == 0) continue;
      ASSERT_EQ(token.logprob, score.tokens[j - 1].second);
      ASSERT_EQ(token.top.size(), generate.echo_top_logprobs);
      if (token.top.empty()) continue;
      ASSERT_EQ(token.top[0].first == token.id, score.is_greedy[j - 1]);
    }
  }
}

TEST_F(EngineLawsTest, ScoresEqualLogprobsOfGeneratedTokens) {
  std::mt19937 random(15);
  std::vector<Request> generates;
  for (int i = 0; i < 40; ++i) generates.emplace_back(RandomGenerate(random));
  const std::vector<Recording> generated = Run({}, 2, generates);

  std::vector<Request> scores;
  for (size_t i = 0; i < generated.size(); ++i) {
    ScoreRequest request;
    const auto& generate = std::get<GenerateRequest>(generates[i]);
    request.items[0].context = generate.prompt;
    request.initial_state = generate.initial_state;
    request.items[0].continuations = {generated[i].Ids()};
    scores.emplace_back(request);
  }
  const std::vector<Recording> scored = Run({}, 2, scores);
  for (size_t i = 0; i < generated.size(); ++i) {
    const Recording::Score& score = scored[i].scores[0];
    for (size_t j = 0; j < generated[i].tokens.size(); ++j) {
      EXPECT_EQ(score.tokens[j].second, generated[i].tokens[j].logprob);
    }
    EXPECT_EQ(score.logprob_sum, generated[i].LogprobSum());
  }
}

}  // namespace
}  // namespace rwkvd
