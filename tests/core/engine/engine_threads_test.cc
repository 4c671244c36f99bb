// SPDX-License-Identifier: Apache-2.0
// Every accepted request finishes exactly once, whatever is cancelled or
// drained. Most useful under the thread sanitizer. RecordingSink aborts the
// program on an event after the end.
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

constexpr int64_t kVocabSize = 24;

EngineOptions SmallOptions() {
  EngineOptions options;
  options.max_running = 4;
  options.max_queued = 8;
  options.max_step_tokens = 12;
  options.state_cache_bytes = 4000;
  return options;
}

absl::StatusOr<Engine::RequestId> SubmitAny(std::mt19937& random,
                                            Engine* engine,
                                            RecordingSink* sink) {
  if (random() % 3 == 0) {
    ScoreRequest request;
    request.items[0].context.assign(random() % 20, 1);
    request.items[0].continuations.assign(1 + random() % 6, {2, 3, 4});
    return engine->Submit(request, sink);
  }
  GenerateRequest request;
  request.prompt.assign(random() % 40, 1);
  request.max_tokens = 1 + random() % 30;
  request.sampling.seed = random();
  request.stop_strings = {"<5><"};
  return engine->Submit(request, sink);
}

// A client that submits requests and cancels about half of them.
void ActAsClient(uint32_t seed, Engine* engine,
                 std::deque<RecordingSink>* accepted) {
  std::mt19937 random(seed);
  std::vector<Engine::RequestId> ids;
  for (int i = 0; i < 60; ++i) {
    RecordingSink& sink = accepted->emplace_back();
    const auto id = SubmitAny(random, engine, &sink);
    if (id.ok()) {
      ids.push_back(*id);
    } else {
      EXPECT_EQ(sink.Peek().num_finishes, 0);
      accepted->pop_back();
      // The queue is full or the engine is draining: wait for the last request.
      if (!accepted->empty()) accepted->back().Wait();
    }
    if (random() % 2 == 0 && !ids.empty()) {
      engine->Cancel(ids[random() % ids.size()]);
    }
  }
}

void ExpectEachFinishedOnce(const std::vector<std::deque<RecordingSink>>& sinks,
                            const EngineStats& stats) {
  uint64_t finished = 0;
  for (const uint64_t n : stats.finished) finished += n;
  uint64_t accepted = 0;
  for (const auto& of_client : sinks) {
    for (const RecordingSink& sink : of_client) {
      EXPECT_EQ(sink.Peek().num_finishes, 1);
      ++accepted;
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(finished, accepted);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.queued, 0);
}

// Runs clients of an engine that is drained after `num_steps` steps.
void RunClients(uint32_t seed, int64_t num_steps, absl::Time deadline) {
  absl::Mutex mutex;
  int64_t steps = 0;
  FakeModel model(kVocabSize, [&](absl::Span<const Chunk>) {
    absl::MutexLock lock(&mutex);
    ++steps;
  });
  FakeTokenizer tokenizer(FakeTokenizer::Numbers(kVocabSize), 0);
  ThreadPool pool(2);
  std::vector<std::deque<RecordingSink>> sinks(3);
  Engine engine(SmallOptions(), &model, &tokenizer, &pool);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < sinks.size(); ++i) {
    threads.emplace_back(ActAsClient, seed * 100 + i, &engine, &sinks[i]);
  }
  threads.emplace_back([&] {
    {
      const auto has_come_far = [&] { return steps >= num_steps; };
      absl::MutexLock lock(&mutex, absl::Condition(&has_come_far));
    }
    engine.Drain(deadline);
  });
  for (int i = 0; i < 50; ++i) engine.Stats();
  for (std::thread& thread : threads) thread.join();
  ExpectEachFinishedOnce(sinks, engine.Stats());
}

TEST(EngineThreadsTest, EachRequestFinishesOnceWhenDrainWaits) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    RunClients(seed, 1 + seed * 5, absl::InfiniteFuture());
  }
}

TEST(EngineThreadsTest, EachRequestFinishesOnceWhenDrainDoesNotWait) {
  for (uint32_t seed = 10; seed < 20; ++seed) {
    RunClients(seed, 1 + seed, absl::InfinitePast());
  }
}

TEST(EngineThreadsTest, EachRequestFinishesOnceWhenTheEngineIsDestroyed) {
  for (uint32_t seed = 20; seed < 40; ++seed) {
    FakeModel model(kVocabSize);
    FakeTokenizer tokenizer(FakeTokenizer::Numbers(kVocabSize), 0);
    ThreadPool pool(1 + seed % 3);
    std::deque<RecordingSink> sinks;
    {
      Engine engine(SmallOptions(), &model, &tokenizer, &pool);
      std::mt19937 random(seed);
      for (int i = 0; i < 12; ++i) {
        sinks.emplace_back();
        if (!SubmitAny(random, &engine, &sinks.back()).ok()) sinks.pop_back();
      }
    }
    for (const RecordingSink& sink : sinks) {
      EXPECT_EQ(sink.Peek().num_finishes, 1);
    }
  }
}

// The samples of a request may all have ended before Submit returns. What they
// share must still be destroyed by the engine thread, which keeps the count of
// branch states without a lock.
TEST(EngineThreadsTest, SamplesMayEndWhileTheyAreSubmitted) {
  FakeModel model(kVocabSize);
  FakeTokenizer tokenizer(FakeTokenizer::Numbers(kVocabSize), 0);
  ThreadPool pool(1);
  EngineOptions options = SmallOptions();
  options.max_queued = 100;
  Engine engine(options, &model, &tokenizer, &pool);
  const auto submit = [&engine] {
    GenerateRequest request;
    request.prompt = {1, 2};
    request.max_tokens = 1;
    for (int i = 0; i < 300; ++i) {
      std::deque<RecordingSink> sinks(2);
      GenerateSink* const pointers[] = {&sinks[0], &sinks[1]};
      ASSERT_TRUE(engine.Submit(request, pointers).ok());
      for (RecordingSink& sink : sinks) sink.Wait();
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back(submit);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rwkvd
