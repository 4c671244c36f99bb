// SPDX-License-Identifier: Apache-2.0
#include "core/engine/request_memory.h"

#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "core/engine/engine_counters.h"
#include "core/engine/sequence/generate_sequence.h"
#include "core/engine/sequence/score_sequence.h"
#include "core/engine/snapshot.h"
#include "core/engine/vocabulary.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/process_memory.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {
namespace {

constexpr int64_t kLargeVocab = 60000;

std::vector<int32_t> RandomIds(int64_t n, int32_t num_ids = kLargeVocab) {
  std::mt19937 random(n);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = random() % num_ids;
  return tokens;
}

// Makes the sequence of `request`, and compares what it allocates.
void ExpectCounted(const GenerateRequest& request) {
  const FakeTokenizer tokenizer(FakeTokenizer::Numbers(kLargeVocab));
  const SamplingVocabulary vocabulary = VocabularyOf(tokenizer, kLargeVocab);
  RecordingSink sink;
  EngineCounters counters;
  const int64_t before = testing::AllocatedBytes();
  auto sequence = std::make_unique<GenerateSequence>(
      1, request, vocabulary, &tokenizer, &sink, &counters);
  EXPECT_LE(testing::AllocatedBytes() - before, MemoryOf(request, kLargeVocab));
}

TEST(RequestMemoryTest, CountsTokensListsAndStopStrings) {
  GenerateRequest request;
  ExpectCounted(request);
  request.prompt = RandomIds(1000000);
  ExpectCounted(request);
  request.max_tokens = 1000000;
  ExpectCounted(request);
  request.sampling.banned_tokens = RandomIds(50000);
  request.sampling.forced_tokens = RandomIds(60000);
  request.sampling.logit_bias.resize(65536);
  request.stop_tokens = RandomIds(256);
  ExpectCounted(request);
  request.stop_strings.assign(kMaxStopStrings, std::string(1024, 'x'));
  ExpectCounted(request);
  request.prompt = {};
  request.max_tokens = 1;
  ExpectCounted(request);
}

TEST(RequestMemoryTest, CountsPenaltyHistories) {
  for (const int64_t size : {1, 100, 3000, 59000, 300000}) {
    GenerateRequest request;
    request.prompt = RandomIds(size);
    request.sampling.penalty_scope = PenaltyScope::kPromptAndOutput;
    request.sampling.presence_penalty = 1;
    ExpectCounted(request);
    request.sampling.repetition_penalty = 2;
    for (const int32_t window : {0, 1, 500, 65536}) {
      request.sampling.repetition_window = window;
      request.sampling.penalty_window = window;
      ExpectCounted(request);
    }
  }
}

TEST(RequestMemoryTest, CountsScoreTreesOfAnyShape) {
  std::vector<ScoreRequest> requests(4);
  requests[0].items[0].continuations = {RandomIds(1000000)};
  // A branch at each token.
  requests[1].items[0].context = RandomIds(50);
  for (int i = 0; i < 1000; ++i) {
    requests[1].items[0].continuations.emplace_back(i, 1).push_back(2);
  }
  // Many short texts in many items.
  requests[2].items.resize(kMaxScoreItems);
  for (size_t i = 0; i < requests[2].items.size(); ++i) {
    requests[2].items[i].context = RandomIds(1 + i % 3, 10);
    for (int j = 0; j < 4; ++j) {
      requests[2].items[i].continuations.push_back(
          RandomIds(1 + (i + j) % 5, 10));
    }
  }
  requests[3].items[0].continuations.assign(1024, {7});
  for (const ScoreRequest& request : requests) {
    RecordingSink sink;
    EngineCounters counters;
    const int64_t before = testing::AllocatedBytes();
    ScoreRequest copy = request;
    auto sequence =
        std::make_unique<ScoreSequence>(1, std::move(copy), &sink, &counters);
    EXPECT_LE(testing::AllocatedBytes() - before, MemoryOf(request));
  }
}

TEST(RequestMemoryTest, SnapshotHoldsItsMemoryUntilItIsDestroyed) {
  const auto engine = std::make_shared<EngineMemory>(100);
  RequestMemory memory{engine, nullptr, *engine->requests.Reserve(70)};
  Snapshot snapshot;
  snapshot.tokens = {5};
  std::shared_ptr<const Snapshot> shared =
      ShareSnapshot(std::move(snapshot), std::move(memory));
  EXPECT_EQ(shared->tokens[0], 5);
  EXPECT_EQ(engine->requests.used(), 70);
  EXPECT_EQ(engine->num_snapshots, 1);
  shared = nullptr;
  EXPECT_EQ(engine->requests.used(), 0);
  EXPECT_EQ(engine->num_snapshots, 0);
}

}  // namespace
}  // namespace rwkvd
