// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_ENGINE_STEP_RUNNER_FIXTURE_H_
#define RWKVD_TESTS_CORE_ENGINE_STEP_RUNNER_FIXTURE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/base/thread_pool.h"
#include "core/engine/cache/state_cache.h"
#include "core/engine/engine_counters.h"
#include "core/engine/engine_options.h"
#include "core/engine/request.h"
#include "core/engine/sequence/generate_sequence.h"
#include "core/engine/step_runner.h"
#include "core/engine/vocabulary.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"

namespace rwkvd {

using Tokens = std::vector<int32_t>;

inline constexpr int64_t kStepVocab = 40;

inline EngineOptions SmallStepOptions() {
  EngineOptions options;
  options.max_running = 4;
  options.max_step_tokens = 10;
  return options;
}

// A StepRunner of a fake model, and the sizes of the chunks of its last step.
class StepRunnerTest : public ::testing::Test {
 protected:
  StepRunnerTest()
      : model_(kStepVocab,
               [this](absl::Span<const Chunk> chunks) {
                 chunk_sizes_.clear();
                 for (const Chunk& chunk : chunks) {
                   chunk_sizes_.push_back(chunk.tokens.size());
                 }
               }),
        tokenizer_(FakeTokenizer::Numbers(kStepVocab)),
        pool_(2) {
    options_ = SmallStepOptions();
  }

  StepRunner& runner() {
    if (runner_ == nullptr) {
      state_cache_ = std::make_unique<StateCache>(
          StateCache::Limits{options_.state_cache_bytes,
                             options_.max_pinned_bytes, options_.max_pinned});
      runner_ =
          std::make_unique<StepRunner>(options_, &model_, initial_states_,
                                       state_cache_.get(), &pool_, &counters_);
    }
    return *runner_;
  }

  RecordingSink* Admit(const Tokens& prompt, int64_t max_tokens,
                       bool use_state_cache = true) {
    GenerateRequest request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0;
    request.use_state_cache = use_state_cache;
    return Admit(std::move(request));
  }

  RecordingSink* Admit(GenerateRequest request,
                       std::shared_ptr<SharedPrompt> shared = nullptr) {
    sinks_.push_back(std::make_unique<RecordingSink>());
    runner().Admit(
        std::make_unique<GenerateSequence>(
            sinks_.size(), request, VocabularyOf(tokenizer_, kStepVocab),
            &tokenizer_, sinks_.back().get(), &counters_, std::move(shared)),
        absl::UnixEpoch());
    return sinks_.back().get();
  }

  // Runs a step. Returns the number of sequences that ended.
  size_t Step() {
    chunk_sizes_.clear();
    const std::vector<EndedSequence> ended = runner().Step();
    for (const EndedSequence& one : ended) {
      one.sequence->Finish(one.reason, one.status, absl::UnixEpoch());
    }
    return ended.size();
  }

  void StepUntilNothingRuns() {
    while (runner().num_running() > 0) Step();
  }

  Tokens GreedyAfter(Tokens history, int64_t n) const {
    if (history.empty()) history = {0};
    Tokens tokens;
    for (int64_t i = 0; i < n; ++i) {
      const std::vector<float> logits = model_.LogitsAfter(history);
      tokens.push_back(std::max_element(logits.begin(), logits.end()) -
                       logits.begin());
      history.push_back(tokens.back());
    }
    return tokens;
  }

  EngineOptions options_;
  std::vector<int64_t> chunk_sizes_;
  FakeModel model_;
  const std::vector<NamedState> initial_states_ = {{"", model_.NewState()}};
  FakeTokenizer tokenizer_;
  ThreadPool pool_;
  EngineCounters counters_;
  std::unique_ptr<StateCache> state_cache_;
  std::unique_ptr<StepRunner> runner_;
  std::vector<std::unique_ptr<RecordingSink>> sinks_;
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_ENGINE_STEP_RUNNER_FIXTURE_H_
