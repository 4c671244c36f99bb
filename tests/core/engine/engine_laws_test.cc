// SPDX-License-Identifier: Apache-2.0
// The engine's share of the laws of docs/architecture.md, on random mixes of
// requests: what a request is answered depends on nothing but the request.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/engine/snapshot.h"
#include "core/model/state_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/step_gate.h"

namespace rwkvd {
namespace {

using Tokens = std::vector<int32_t>;
using Request = std::variant<GenerateRequest, ScoreRequest>;

constexpr int64_t kVocabSize = 24;

// What initial states have read. A prompt may begin as one of them ends.
const std::vector<Tokens> kInitialTokens = {{}, {7, 3}, {5}, {5, 5, 5}};

Tokens RandomTokens(std::mt19937& random, int64_t size) {
  Tokens tokens(size);
  for (int32_t& token : tokens) token = random() % kVocabSize;
  return tokens;
}

// A prompt that often begins as others do.
Tokens RandomPrompt(std::mt19937& random) {
  Tokens prompt(random() % 3 * 10, 5);
  for (const int32_t token : RandomTokens(random, random() % 4)) {
    prompt.push_back(token);
  }
  return prompt;
}

// Without Mirostat, which some of it does not go with.
SamplingParams RandomChoices(std::mt19937& random) {
  SamplingParams params;
  params.temperature = random() % 3 * 0.5f;
  params.top_k = random() % 2 * (1 + random() % 8);
  params.top_p = random() % 2 == 0 ? 1 : 0.5f;
  params.tail_free_z = random() % 4 == 0 ? 0.9f : 1;
  params.typical_p = random() % 4 == 0 ? 0.9f : 1;
  params.min_p = random() % 4 == 0 ? 0.01f : 0;
  params.order = static_cast<SamplerOrder>(random() % 3);
  return params;
}

SamplingParams RandomMirostat(std::mt19937& random) {
  SamplingParams params;
  params.temperature = 0.5f + random() % 2;
  params.mirostat = {.version = 1 + static_cast<int32_t>(random() % 2),
                     .tau = 1.0f + random() % 3};
  return params;
}

SamplingParams RandomSampling(std::mt19937& random) {
  SamplingParams params =
      random() % 4 == 0 ? RandomMirostat(random) : RandomChoices(random);
  params.presence_penalty = random() % 2 * 0.5f;
  params.frequency_penalty = random() % 2 * 0.5f;
  params.penalty_decay = 0.9f;
  params.penalty_window = random() % 2 * 5;
  params.repetition_penalty = random() % 3 == 0 ? 1.5f : 1;
  params.repetition_window = random() % 2 * 7;
  params.penalty_scope = static_cast<PenaltyScope>(random() % 3);
  if (random() % 4 == 0) {
    params.sequence_repetition = {.flat_penalty = 0.5f, .min_length = 1};
  }
  params.exempt_blanks_and_digits = random() % 2 == 0;
  if (random() % 4 == 0) params.logit_bias = {{7, 1}, {2, -1}};
  if (random() % 4 == 0) params.banned_tokens = {5, 6};
  if (random() % 6 == 0) params.forced_tokens = {8, 1};
  params.never_end = random() % 3 == 0;
  params.seed = random();
  return params;
}

GenerateRequest RandomGenerate(std::mt19937& random) {
  GenerateRequest request;
  request.prompt = RandomPrompt(random);
  request.max_tokens = 1 + random() % 20;
  request.sampling = RandomSampling(random);
  if (random() % 3 == 0) request.stop_strings = {"><1", "<7><", "2>"};
  if (random() % 4 == 0) request.stop_tokens = {3, 9};
  request.want_logprobs = true;
  request.top_logprobs = random() % 3;
  request.echo = random() % 4 == 0;
  request.echo_top_logprobs = random() % 3;
  request.want_drawn_logprobs = random() % 2 == 0;
  request.top_drawn_logprobs = random() % 3;
  request.use_state_cache = random() % 4 != 0;
  request.initial_state = random() % kInitialTokens.size();
  return request;
}

ScoreRequest RandomScore(std::mt19937& random) {
  ScoreRequest request;
  request.items.resize(1 + random() % 3);
  for (ScoreItem& item : request.items) {
    item.context = RandomPrompt(random);
    const int64_t n = 1 + random() % 20;
    for (int64_t i = 0; i < n; ++i) {
      item.continuations.push_back(RandomTokens(random, 1 + random() % 9));
    }
  }
  request.use_state_cache = random() % 4 != 0;
  request.initial_state = random() % kInitialTokens.size();
  return request;
}

std::vector<Request> RandomRequests(std::mt19937& random, int n) {
  std::vector<Request> requests;
  for (int i = 0; i < n; ++i) {
    if (random() % 3 == 0) {
      requests.emplace_back(RandomScore(random));
    } else {
      requests.emplace_back(RandomGenerate(random));
    }
  }
  return requests;
}

class EngineLawsTest : public testing::Test {
 protected:
  EngineLawsTest()
      : model_(kVocabSize),
        tokenizer_(FakeTokenizer::Numbers(kVocabSize), /*end_of_text=*/0) {}

  // Gives an engine all `requests` at once; returns what each was answered.
  std::vector<Recording> Run(const EngineOptions& options, int num_threads,
                             const std::vector<Request>& requests,
                             EngineStats* stats = nullptr) {
    ThreadPool pool(num_threads);
    std::vector<NamedState> initial_states;
    for (const Tokens& tokens : kInitialTokens) {
      initial_states.push_back({"", model_.StateAfter(tokens)});
    }
    Engine engine(options, &model_, &tokenizer_, &pool, initial_states);
    std::vector<RecordingSink> sinks(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto id = std::visit(
          [&](const auto& request) {
            return engine.Submit(request, &sinks[i]);
          },
          requests[i]);
      EXPECT_TRUE(id.ok()) << id.status();
    }
    std::vector<Recording> recordings;
    for (RecordingSink& sink : sinks) recordings.push_back(sink.Wait());
    if (stats != nullptr) *stats = engine.Stats();
    return recordings;
  }

  // What each request is answered by an engine of its own, without a cache.
  std::vector<Recording> RunAlone(const std::vector<Request>& requests) {
    EngineOptions options;
    options.state_cache_bytes = 0;
    std::vector<Recording> recordings;
    for (const Request& request : requests) {
      recordings.push_back(Run(options, 1, {request})[0]);
    }
    return recordings;
  }

  // Gives an engine all `requests`, and drains it after `num_steps` steps and
  // the one that is under way then.
  std::vector<Recording> RunUntilDrained(const std::vector<Request>& requests,
                                         int64_t num_steps) {
    StepGate gate;
    const FakeModel model(kVocabSize,
                          [&](absl::Span<const Chunk>) { gate.Pass(); });
    ThreadPool pool(1);
    std::vector<NamedState> initial_states;
    for (const Tokens& tokens : kInitialTokens) {
      initial_states.push_back({"", model_.StateAfter(tokens)});
    }
    EngineOptions options;
    options.max_running = 5;
    options.max_queued = 1 << 20;
    options.max_step_tokens = 12;
    Engine engine(options, &model, &tokenizer_, &pool, initial_states);
    std::vector<RecordingSink> sinks(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_TRUE(
          engine.Submit(std::get<GenerateRequest>(requests[i]), &sinks[i])
              .ok());
    }
    gate.Permit(num_steps);
    gate.WaitForArrivals(num_steps + 1);
    std::thread drainer([&] { engine.Drain(absl::InfiniteFuture()); });
    // Once it drains it takes no more.
    GenerateRequest more = std::get<GenerateRequest>(requests[0]);
    std::deque<RecordingSink> others;
    while (engine.Submit(more, &others.emplace_back()).ok()) {
    }
    gate.Open();
    drainer.join();
    std::vector<Recording> recordings;
    for (RecordingSink& sink : sinks) recordings.push_back(sink.Peek());
    return recordings;
  }

  static void ExpectSameAnswers(const std::vector<Recording>& a,
                                const std::vector<Recording>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_TRUE(a[i].HasSameAnswer(b[i])) << "request " << i;
    }
  }

  FakeModel model_;
  FakeTokenizer tokenizer_;
};

TEST_F(EngineLawsTest, AloneEqualsAmongOthers) {
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

TEST_F(EngineLawsTest, ACacheOfAnySizeChangesNoAnswer) {
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
  // It was put to use.
  EXPECT_GT(hits, 50);
  EXPECT_GT(evictions, 50);
}

// What a prompt would be if the initial state were part of it.
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

TEST_F(EngineLawsTest, AnInitialStateEqualsReadingWhatItHasRead) {
  std::mt19937 random(16);
  for (int round = 0; round < 5; ++round) {
    std::vector<Request> chosen, spelled;
    for (int i = 0; i < 60; ++i) {
      GenerateRequest generate = RandomGenerate(random);
      // What a state has read is no part of the prompt.
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

TEST_F(EngineLawsTest, AForkedConversationEqualsTwo) {
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
  options.max_running = 1;  // so that the first has stored its prompt
  EngineStats stats;
  const std::vector<Recording> forked = Run(options, 1, requests, &stats);
  EXPECT_EQ(stats.state_cache_hits, 9);
  EXPECT_EQ(stats.prompt_tokens, 30 + 9);
  ExpectSameAnswers(forked, RunAlone(requests));
}

// Law 3: sample i is the request alone with the seed raised by i.
TEST_F(EngineLawsTest, SamplesEqualRequestsWithSeedsOfTheirOwn) {
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
    request.echo = false;  // only one of them would tell the prompt
    std::vector<TokenSink*> those;
    const size_t n = 1 + random() % options.max_running;
    while (those.size() < n && alone.size() < sinks.size()) {
      those.push_back(&sinks[alone.size()]);
      GenerateRequest sample = request;
      sample.sampling.seed += those.size() - 1;
      alone.push_back(sample);
    }
    ASSERT_TRUE(engine.Submit(request, those).ok());
  }
  std::vector<Recording> samples;
  for (RecordingSink& sink : sinks) samples.push_back(sink.Wait());
  ExpectSameAnswers(samples, RunAlone(alone));
}

// What two parts of one answer say together.
Recording Joined(const Recording& first, const Recording& second) {
  Recording joined = second;
  joined.prompt = first.prompt;
  joined.prompt.insert(joined.prompt.end(), second.prompt.begin(),
                       second.prompt.end());
  joined.tokens = first.tokens;
  joined.tokens.insert(joined.tokens.end(), second.tokens.begin(),
                       second.tokens.end());
  joined.bytes = first.bytes + second.bytes;
  joined.text = first.text + second.text;
  return joined;
}

// Law 7: a request that is handed back, wherever it is, and taken up by another
// engine, is answered as one that nobody disturbed.
TEST_F(EngineLawsTest, ARequestThatMovesIsAnsweredAsIfItHadStayed) {
  std::mt19937 random(18);
  int num_moved = 0;
  for (int64_t num_steps = 0; num_steps < 24; ++num_steps) {
    std::vector<Request> requests;
    // So many that they are not done by then.
    for (int i = 0; i < 40; ++i) {
      GenerateRequest request = RandomGenerate(random);
      request.max_tokens = 1 + random() % 60;
      request.snapshot_on_drain = true;
      requests.push_back(request);
    }
    const std::vector<Recording> alone = RunAlone(requests);
    const std::vector<Recording> first = RunUntilDrained(requests, num_steps);
    for (size_t i = 0; i < requests.size(); ++i) {
      Recording both = first[i];
      if (both.status.ok()) continue;
      ASSERT_NE(both.snapshot, nullptr);
      EXPECT_EQ(both.reason, FinishReason::kCancelled);
      const StateOwner owner = {"fake", std::string(64, 'a'), 4};
      const auto bytes = SerializeSnapshot(*both.snapshot, owner);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      auto moved = ParseSnapshot(
          {reinterpret_cast<const std::byte*>(bytes->data()), bytes->size()},
          "moved", owner, kVocabSize);
      ASSERT_TRUE(moved.ok()) << moved.status();
      auto request = std::get<GenerateRequest>(requests[i]);
      request.prompt.clear();
      request.initial_state = 0;
      request.sampling.seed = moved->seed;
      request.start = std::make_shared<Snapshot>(*std::move(moved));
      request.resume = true;
      const Recording second = Run({}, 1, {request})[0];
      both = Joined(both, second);
      EXPECT_EQ(both.bytes, alone[i].bytes);
      EXPECT_EQ(both.text, alone[i].text);
      EXPECT_TRUE(both.HasSameAnswer(alone[i])) << "request " << i;
      ++num_moved;
    }
  }
  EXPECT_GT(num_moved, 100);
}

// A long answer in pieces, each its own request that resumes the one before.
TEST_F(EngineLawsTest, AnAnswerCanBeDrawnPieceByPiece) {
  std::mt19937 random(19);
  for (int round = 0; round < 50; ++round) {
    GenerateRequest request = RandomGenerate(random);
    request.stop_strings.clear();
    request.snapshot_at_end = true;
    request.max_tokens = 30;
    const Recording whole = RunAlone({request})[0];
    Recording pieces;
    for (request.max_tokens = 0;
         pieces.num_finishes == 0 ||
         (pieces.reason == FinishReason::kLength && request.max_tokens < 30);) {
      request.max_tokens =
          std::min<int64_t>(30, request.max_tokens + random() % 9);
      if (request.resume &&
          request.start->generated_tokens >= request.max_tokens) {
        continue;
      }
      pieces = Joined(pieces, Run({}, 1, {request})[0]);
      request.prompt.clear();
      request.start = pieces.snapshot;
      request.resume = true;
    }
    EXPECT_EQ(pieces.bytes, whole.bytes);
    EXPECT_TRUE(pieces.HasSameAnswer(whole));
  }
}

// A new request goes on from where another has ended.
TEST_F(EngineLawsTest, ATurnGoesOnFromTheStateOfTheLast) {
  std::mt19937 random(20);
  for (int round = 0; round < 60; ++round) {
    GenerateRequest request = RandomGenerate(random);
    request.snapshot_at_end = true;
    if (round % 3 == 0) request.max_tokens = 0;
    const Recording turn = RunAlone({request})[0];
    ASSERT_NE(turn.snapshot, nullptr);
    GenerateRequest next = RandomGenerate(random);
    next.initial_state = 0;
    next.start = turn.snapshot;
    if (next.prompt.empty() && turn.snapshot->num_pending == 0) {
      ASSERT_EQ(turn.snapshot->logits.size(), kVocabSize);
    }
    // All that was read, in one prompt. The token that ends an answer is no
    // part of it, but for the last of a length or a stop string.
    GenerateRequest whole = next;
    whole.start = nullptr;
    whole.initial_state = request.initial_state;
    whole.prompt = request.prompt.empty() ? Tokens{0} : request.prompt;
    Tokens drawn = turn.Ids();
    const bool drops_last = turn.reason == FinishReason::kStopToken ||
                            turn.reason == FinishReason::kEndOfText;
    if (drops_last) drawn.pop_back();
    whole.prompt.insert(whole.prompt.end(), drawn.begin(), drawn.end());
    whole.prompt.insert(whole.prompt.end(), next.prompt.begin(),
                        next.prompt.end());
    const Recording a = Run({}, 1, {next})[0];
    const Recording b = RunAlone({whole})[0];
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.bytes, b.bytes);
    EXPECT_EQ(a.usage.prompt_tokens, static_cast<int64_t>(next.prompt.size()));
  }
}

TEST_F(EngineLawsTest, AskingForLogprobsChangesNoToken) {
  std::mt19937 random(14);
  std::vector<Request> with, without;
  for (int i = 0; i < 50; ++i) {
    GenerateRequest request = RandomGenerate(random);
    with.push_back(request);
    request.want_logprobs = false;
    request.top_logprobs = 0;
    request.want_drawn_logprobs = false;
    request.top_drawn_logprobs = 0;
    without.push_back(request);
  }
  const std::vector<Recording> a = Run({}, 2, with);
  const std::vector<Recording> b = Run({}, 2, without);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].Ids(), b[i].Ids());
}

TEST_F(EngineLawsTest, AnEchoEqualsTheScoreOfThePrompt) {
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

TEST_F(EngineLawsTest, ScoresEqualTheLogprobsToldWhileGenerating) {
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
