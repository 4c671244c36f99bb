// SPDX-License-Identifier: Apache-2.0
// Law 7 of tests/README.md for snapshots: a request that continues from one
// gets the same answer as without interruption.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/engine/snapshot.h"
#include "core/model/state_file.h"
#include "gtest/gtest.h"
#include "tests/core/engine/engine_laws_fixture.h"
#include "tests/core/engine/random_requests.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/step_gate.h"

namespace rwkvd {
namespace {

class EngineResumeTest : public EngineLawsTest {
 protected:
  // Submits all `requests` to an engine, and drains it after `num_steps` steps
  // and the one that runs at that time.
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
    options.max_snapshots = 1 << 20;  // the sinks keep them
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
    // A draining engine accepts no more requests.
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
};

// The answer that two parts form together.
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

// A request that is suspended at any position and resumed by another engine
// gets the same answer as without interruption.
TEST_F(EngineResumeTest, RequestResumedByAnotherEngineGetsTheSameAnswer) {
  std::mt19937 random(18);
  int num_moved = 0;
  for (int64_t num_steps = 0; num_steps < 24; ++num_steps) {
    std::vector<Request> requests;
    // So many that the request is still running when draining begins.
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
      const ModelIdentity identity = {"fake", std::string(64, 'a'), 4};
      const auto bytes = SerializeSnapshot(*both.snapshot, identity);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      auto moved = ParseSnapshot(
          {reinterpret_cast<const std::byte*>(bytes->data()), bytes->size()},
          "moved", identity, kVocabSize);
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

// A long answer in pieces, each a request that resumes the previous one.
TEST_F(EngineResumeTest, AnswerGeneratedInPiecesEqualsWholeAnswer) {
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

// A new request continues from the end of another.
TEST_F(EngineResumeTest, RequestFromStateEqualsRequestWithAllTokens) {
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
    // All processed tokens in one prompt. The last token of an answer is part
    // of it only if the answer ended by length or by a stop string.
    GenerateRequest whole = next;
    whole.start = nullptr;
    whole.initial_state = request.initial_state;
    whole.prompt = request.prompt.empty() ? Tokens{0} : request.prompt;
    Tokens sampled = turn.Ids();
    const bool drops_last = turn.reason == FinishReason::kStopToken ||
                            turn.reason == FinishReason::kEndOfText;
    if (drops_last) sampled.pop_back();
    whole.prompt.insert(whole.prompt.end(), sampled.begin(), sampled.end());
    whole.prompt.insert(whole.prompt.end(), next.prompt.begin(),
                        next.prompt.end());
    const Recording a = Run({}, 1, {next})[0];
    const Recording b = RunAlone({whole})[0];
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.bytes, b.bytes);
    EXPECT_EQ(a.usage.prompt_tokens, static_cast<int64_t>(next.prompt.size()));
  }
}

}  // namespace
}  // namespace rwkvd
