// SPDX-License-Identifier: Apache-2.0
// Laws of the engine with a real model (tests/README.md), for every version,
// instruction set and weight type. Answers and their log-probabilities are
// bit-identical whatever else is in the batch, with or without the cache, and
// for any number of threads, and with or without drafts. The score of a text
// equals the log-probabilities of generating it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/engine/snapshot.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/load_model.h"
#include "core/model/state_file.h"
#include "gtest/gtest.h"
#include "tests/laws/model_shapes.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using Tokens = std::vector<int32_t>;
// The type of the stored weights, and their quantization while loading.
struct Weights {
  DType stored = DType::kF32;
  WeightKind kind = WeightKind::kAsStored;
};
using EngineParam = std::tuple<const KernelTable*, Weights, ModelShape>;

// Prompts of many lengths, most of which begin with the same tokens.
GenerateRequest RequestOf(int number) {
  GenerateRequest request;
  for (int i = 0; i < 3 + 7 * number; ++i) {
    request.prompt.push_back(i < 12 ? i + 1 : (i * number) % kOddVocab);
  }
  request.max_tokens = 12;
  request.sampling.seed = number;
  request.sampling.temperature = number % 3 * 0.5f;
  request.top_logprobs = 3;
  return request;
}

class EngineOnModelLaws : public ::testing::TestWithParam<EngineParam> {
 protected:
  void SetUp() override {
    const auto& [kernels, weights, shape] = GetParam();
    auto model = LoadModel(
        testing::MakeTensorFile(MakeTensors(shape, weights.stored)),
        {.kernels = kernels, .weights = weights.kind, .pool = &three_threads_});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  // Small steps, so that prefill takes several of them.
  static EngineOptions SmallSteps(int64_t cache_bytes, int64_t interval) {
    EngineOptions options;
    options.max_running = 8;
    options.max_step_tokens = 23;
    options.state_cache_bytes = cache_bytes;
    options.state_cache_interval = interval;
    return options;
  }

  std::unique_ptr<Engine> MakeEngine(ThreadPool* pool, int64_t cache_bytes,
                                     int64_t interval = 7) {
    return std::make_unique<Engine>(SmallSteps(cache_bytes, interval),
                                    model_.get(), &tokenizer_, pool);
  }

  template <typename Request>
  static Recording Ask(Engine& engine, const Request& request) {
    RecordingSink sink;
    const auto id = engine.Submit(request, &sink);
    EXPECT_TRUE(id.ok()) << id.status();
    return sink.Wait();
  }

  ThreadPool one_thread_{1};
  ThreadPool three_threads_{3};
  std::unique_ptr<const Model> model_;
  const FakeTokenizer tokenizer_{FakeTokenizer::Numbers(kOddVocab)};
};

// Law 2.
TEST_P(EngineOnModelLaws, AnswersAreBitIdenticalAloneAndInABatch) {
  constexpr int kNum = 11;
  auto crowd = MakeEngine(&three_threads_, 0);
  std::vector<RecordingSink> sinks(kNum);
  for (int i = 0; i < kNum; ++i) {
    ASSERT_TRUE(crowd->Submit(RequestOf(i), &sinks[i]).ok());
  }
  auto alone = MakeEngine(&one_thread_, 0);
  for (int i = 0; i < kNum; ++i) {
    EXPECT_TRUE(sinks[i].Wait().HasSameAnswer(Ask(*alone, RequestOf(i)))) << i;
  }
}

// Law 3.
TEST_P(EngineOnModelLaws, SamplesAreBitIdenticalToSeparateRequests) {
  auto forked = MakeEngine(&three_threads_, 0);
  auto alone = MakeEngine(&one_thread_, 0);
  GenerateRequest request = RequestOf(4);
  request.sampling.temperature = 1;
  std::vector<RecordingSink> sinks(5);
  std::vector<GenerateSink*> those;
  for (RecordingSink& sink : sinks) those.push_back(&sink);
  ASSERT_TRUE(forked->Submit(request, those).ok());
  for (RecordingSink& sink : sinks) {
    EXPECT_TRUE(sink.Wait().HasSameAnswer(Ask(*alone, request)));
    ++request.sampling.seed;
  }
  EXPECT_EQ(forked->Stats().prompt_tokens, request.prompt.size());
}

// Law 4.
TEST_P(EngineOnModelLaws, CacheHitIsBitIdenticalToRecomputation) {
  auto cached = MakeEngine(&three_threads_, 1 << 20);
  auto uncached = MakeEngine(&one_thread_, 0);
  int64_t cached_tokens = 0;
  // Short prompts come first, because they are prefixes of later ones. Then all
  // prompts follow once more.
  for (int i : {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}) {
    const Recording hit = Ask(*cached, RequestOf(i));
    EXPECT_TRUE(hit.HasSameAnswer(Ask(*uncached, RequestOf(i)))) << i;
    cached_tokens += hit.usage.cached_tokens;
  }
  EXPECT_GT(cached_tokens, 0) << "nothing was tested";
}

// Law 7: suspends and resumes through a saved state, after each token.
TEST_P(EngineOnModelLaws, ResumedAnswerIsBitIdentical) {
  auto engine = MakeEngine(&three_threads_, 1 << 20);
  auto other = MakeEngine(&one_thread_, 0);
  const ModelIdentity identity = {
      "any", std::string(64, 'a'),
      static_cast<int64_t>(model_->NewState().values().size())};
  GenerateRequest request = RequestOf(4);
  request.sampling.frequency_penalty = 0.5f;
  const Recording whole = Ask(*engine, request);
  for (int64_t border = 0; border < request.max_tokens; border += 5) {
    GenerateRequest part = request;
    part.max_tokens = border;
    part.snapshot_at_end = true;
    const Recording first = Ask(*engine, part);
    const std::string bytes = *SerializeSnapshot(*first.snapshot, identity);
    auto snapshot = ParseSnapshot(
        {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, "",
        identity, model_->config().vocab_size);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    GenerateRequest rest = request;
    rest.prompt.clear();
    rest.start = std::make_shared<Snapshot>(*std::move(snapshot));
    rest.resume = true;
    Recording second = Ask(*other, rest);
    second.tokens.insert(second.tokens.begin(), first.tokens.begin(),
                         first.tokens.end());
    EXPECT_TRUE(second.HasSameAnswer(whole)) << border;
  }
}

// Law 9, for every sampler preset and source of drafts.
TEST_P(EngineOnModelLaws, DraftsChangeNoAnswerAndNoStateFile) {
  const ModelIdentity identity = {
      "any", std::string(64, 'a'),
      static_cast<int64_t>(model_->NewState().values().size())};
  const SamplingParams presets[] = {
      SamplingParams(),
      RwkvPreset(),
      {.temperature = 0.8f,
       .top_k = 3,
       .frequency_penalty = 0.1f,
       .repetition_penalty = 1.1f},
      {.temperature = 1, .mirostat = {.version = 2, .tau = 3}}};
  auto plain = MakeEngine(&one_thread_, 0);
  uint64_t accepted = 0, drafted = 0;
  for (const int32_t max_draft_tokens : {1, 3, 8}) {
    EngineOptions options = SmallSteps(0, 7);
    options.max_draft_tokens = max_draft_tokens;
    // Drafts seem to cost nothing if the clock stands still.
    options.clock = [] { return absl::UnixEpoch(); };
    Engine drafting(options, model_.get(), &tokenizer_, &three_threads_);
    int number = 0;
    for (const SamplingParams& preset : presets) {
      for (const bool forces : {false, true}) {
        GenerateRequest request = RequestOf(++number % 4);
        const uint64_t seed = request.sampling.seed;
        request.sampling = preset;
        request.sampling.seed = seed;
        // Few tokens, so that the output repeats itself.
        request.sampling.allowed_tokens = {3, 5};
        if (forces) request.sampling.forced_tokens.assign(6, 5);
        request.max_tokens = 30;
        request.snapshot_at_end = true;
        const Recording a = Ask(drafting, request);
        const Recording b = Ask(*plain, request);
        EXPECT_TRUE(a.HasSameAnswer(b)) << number;
        EXPECT_EQ(*SerializeSnapshot(*a.snapshot, identity),
                  *SerializeSnapshot(*b.snapshot, identity));
      }
    }
    for (int kind = 0; kind < kNumDraftKinds; ++kind) {
      drafted += drafting.Stats().drafted_tokens[kind];
      accepted += drafting.Stats().accepted_tokens[kind];
    }
  }
  EXPECT_GT(accepted, 50u);
  EXPECT_GT(drafted, accepted) << "every draft was right";
}

// Law 4: the cache keeps states within a prompt, at intervals and where another
// prompt diverged from it.
TEST_P(EngineOnModelLaws, SharedPrefixIsPrefilledOnce) {
  auto cached = MakeEngine(&three_threads_, 1 << 20);
  auto uncached = MakeEngine(&one_thread_, 0);
  std::vector<int64_t> cached_tokens;
  for (const int32_t last : {1, 2, 3}) {
    GenerateRequest request = RequestOf(last);
    request.prompt.resize(61, 5);
    request.prompt.push_back(last);
    request.prompt.resize(90, 6);
    // The first 61 tokens are shared.
    for (int i = 0; i < 61; ++i) request.prompt[i] = (i * i) % kOddVocab;
    const Recording hit = Ask(*cached, request);
    EXPECT_TRUE(hit.HasSameAnswer(Ask(*uncached, request))) << last;
    cached_tokens.push_back(hit.usage.cached_tokens);
  }
  // A prompt of 90 tokens has states at multiples of 14.
  EXPECT_EQ(cached_tokens, (std::vector<int64_t>{0, 56, 56}));

  // The next two prompts share 40 of 42 tokens.
  cached_tokens.clear();
  auto sparse = MakeEngine(&three_threads_, 1 << 20, /*interval=*/0);
  for (const int32_t last : {1, 2, 3}) {
    GenerateRequest request = RequestOf(last);
    request.prompt.assign(40, 9);
    request.prompt.insert(request.prompt.end(), {last, last});
    const Recording hit = Ask(*sparse, request);
    EXPECT_TRUE(hit.HasSameAnswer(Ask(*uncached, request))) << last;
    cached_tokens.push_back(hit.usage.cached_tokens);
  }
  EXPECT_EQ(cached_tokens, (std::vector<int64_t>{0, 0, 40}));
}

// Law 4: a cache that is too small for two states evicts, but stays correct.
TEST_P(EngineOnModelLaws, EvictionDoesNotChangeAnswers) {
  const int64_t state_bytes = static_cast<int64_t>(model_->NewState().bytes());
  auto tight = MakeEngine(&three_threads_, 2 * state_bytes);
  auto uncached = MakeEngine(&one_thread_, 0);
  for (int i : {0, 3, 1, 0, 4, 3, 2, 0}) {
    EXPECT_TRUE(
        Ask(*tight, RequestOf(i)).HasSameAnswer(Ask(*uncached, RequestOf(i))));
  }
  EXPECT_GT(tight->Stats().state_cache_evictions, 0u);
}

// Law 8.
TEST_P(EngineOnModelLaws, ScoreEqualsLogProbabilitiesOfGeneration) {
  auto engine = MakeEngine(&three_threads_, 1 << 20);
  for (int i = 0; i < 5; ++i) {
    const Recording generated = Ask(*engine, RequestOf(i));
    ScoreRequest score;
    score.items[0].context = RequestOf(i).prompt;
    score.items[0].continuations = {{1, 2}, generated.Ids(), {3}};
    const Recording scored = Ask(*engine, score);
    ASSERT_EQ(scored.scores.size(), 3u);
    EXPECT_EQ(scored.scores[1].logprob_sum, generated.LogprobSum());
    for (size_t t = 0; t < generated.tokens.size(); ++t) {
      EXPECT_EQ(scored.scores[1].tokens[t].second, generated.tokens[t].logprob);
      EXPECT_EQ(scored.scores[1].is_greedy[t],
                generated.tokens[t].id == generated.tokens[t].top[0].first);
    }
  }
}

std::string EngineName(const ::testing::TestParamInfo<EngineParam>& info) {
  const auto& [kernels, weights, shape] = info.param;
  return absl::StrCat(
      NameOf(shape), NameOf(weights.stored),
      weights.kind == WeightKind::kAsStored ? "" : NameOf(weights.kind),
      kernels->name);
}

INSTANTIATE_TEST_SUITE_P(
    AllVersions, EngineOnModelLaws,
    ::testing::Combine(::testing::ValuesIn(SupportedKernels()),
                       ::testing::Values(Weights{DType::kF32},
                                         Weights{DType::kF16},
                                         Weights{DType::kBF16}),
                       ::testing::ValuesIn(OddShapes())),
    EngineName);

INSTANTIATE_TEST_SUITE_P(
    Quantized, EngineOnModelLaws,
    ::testing::Combine(
        ::testing::ValuesIn(SupportedKernels()),
        ::testing::Values(Weights{DType::kF32, WeightKind::kInt8},
                          Weights{DType::kBF16, WeightKind::kInt4}),
        ::testing::ValuesIn(EvenShapes())),
    EngineName);

}  // namespace
}  // namespace rwkvd
