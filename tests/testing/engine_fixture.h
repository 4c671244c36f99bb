// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_ENGINE_FIXTURE_H_
#define RWKVD_TESTS_TESTING_ENGINE_FIXTURE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/step_gate.h"

namespace rwkvd {

// An engine with a fake model. Each step processes at most 10 tokens, waits for
// `gate_` unless that is open, and takes one second. The engine is created by
// the first call of engine(), with the options at that time.
class EngineFixture : public ::testing::Test {
 protected:
  using Tokens = std::vector<int32_t>;

  static constexpr int64_t kVocabSize = 40;
  static constexpr int64_t kForever =
      1 << 20;  // tokens; more than a test generates

  EngineFixture(int32_t max_running, int32_t max_queued)
      : model_(kVocabSize,
               [this](absl::Span<const Chunk>) {
                 gate_.Pass();
                 seconds_.fetch_add(1);
               }),
        tokenizer_(FakeTokenizer::Numbers(kVocabSize)),
        pool_(2) {
    options_.max_running = max_running;
    options_.max_queued = max_queued;
    options_.max_step_tokens = 10;
    options_.clock = [this] { return Now(); };
  }

  // If a test ends early, the engine must not wait for the gate.
  ~EngineFixture() override { gate_.Open(); }

  absl::Time Now() const {
    return absl::UnixEpoch() + absl::Seconds(seconds_.load());
  }

  Engine& engine() {
    if (engine_ == nullptr) {
      engine_ = std::make_unique<Engine>(options_, &model_, &tokenizer_, &pool_,
                                         initial_states_);
    }
    return *engine_;
  }

  GenerateRequest Request(const Tokens& prompt, int64_t max_tokens) const {
    GenerateRequest request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0;
    request.received = Now();
    return request;
  }

  // A sink that lives as long as the test.
  RecordingSink* NewSink() {
    sinks_.push_back(std::make_unique<RecordingSink>());
    return sinks_.back().get();
  }

  StepGate gate_;
  std::atomic<int64_t> seconds_{0};
  EngineOptions options_;
  std::vector<NamedState> initial_states_;  // if empty, the model's own
  FakeModel model_;
  FakeTokenizer tokenizer_;
  ThreadPool pool_;
  std::vector<std::unique_ptr<RecordingSink>> sinks_;
  std::unique_ptr<Engine> engine_;  // last, as it uses the members above
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_TESTING_ENGINE_FIXTURE_H_
