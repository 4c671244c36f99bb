// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_ENGINE_ENGINE_LAWS_FIXTURE_H_
#define RWKVD_TESTS_CORE_ENGINE_ENGINE_LAWS_FIXTURE_H_

#include <cstddef>
#include <variant>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/engine/engine_options.h"
#include "gtest/gtest.h"
#include "tests/core/engine/random_requests.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {

// Runs requests in engines, and returns their answers.
class EngineLawsTest : public ::testing::Test {
 protected:
  EngineLawsTest()
      : model_(kVocabSize),
        tokenizer_(FakeTokenizer::Numbers(kVocabSize), /*end_of_text=*/0) {}

  // Submits all `requests` to one engine at once, and returns the answers.
  std::vector<Recording> Run(EngineOptions options, int num_threads,
                             const std::vector<Request>& requests,
                             EngineStats* stats = nullptr) {
    ThreadPool pool(num_threads);
    std::vector<NamedState> initial_states;
    for (const Tokens& tokens : kInitialTokens) {
      initial_states.push_back({"", model_.StateAfter(tokens)});
    }
    options.max_snapshots = 1 << 20;  // the sinks keep them
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

  // The answer that each request gets from its own engine, without a cache.
  std::vector<Recording> RunAlone(const std::vector<Request>& requests) {
    EngineOptions options;
    options.state_cache_bytes = 0;
    std::vector<Recording> recordings;
    for (const Request& request : requests) {
      recordings.push_back(Run(options, 1, {request})[0]);
    }
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

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_ENGINE_ENGINE_LAWS_FIXTURE_H_
