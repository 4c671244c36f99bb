// SPDX-License-Identifier: Apache-2.0
// Laws of the models (tests/README.md), for every instruction set and weight
// type. Results are bit-identical however a text is split into chunks, whatever
// else is in the batch, and for any number of threads; and they agree with the
// equations of the papers.

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "tests/laws/model_shapes.h"
#include "tests/testing/block_checkpoint.h"
#include "tests/testing/quantized_checkpoint.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/reference.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::TestTensors;
using Tokens = std::vector<int32_t>;

enum class WeightTypes {
  kF32,
  kF16,
  kBF16,
  kMixed,
  kInt8,
  kInt8Mixed,
  kInt4,
  kInt4Mixed,
  kQ8_0,
  kQ4_0,
  // With ActivationKind::kInt8.
  kInt8ByInt8,
  kInt4MixedByInt8,
  kQ8_0ByInt8,
  kQ5_0ByInt8,
  kQ4_0ByInt8
};

TestTensors MakeTensors(const ModelShape& shape, WeightTypes types) {
  int next = 0;
  return MakeTensors(shape, [&](const std::string&) {
    switch (types) {
      case WeightTypes::kF32:
      case WeightTypes::kInt8:
      case WeightTypes::kInt4Mixed:
      case WeightTypes::kQ8_0:
      case WeightTypes::kQ4_0:
      case WeightTypes::kQ8_0ByInt8:
      case WeightTypes::kQ5_0ByInt8:
      case WeightTypes::kQ4_0ByInt8:
        return DType::kF32;
      case WeightTypes::kF16:
        return DType::kF16;
      case WeightTypes::kBF16:
      case WeightTypes::kInt8Mixed:
      case WeightTypes::kInt4:
      case WeightTypes::kInt8ByInt8:
      case WeightTypes::kInt4MixedByInt8:
        return DType::kBF16;
      case WeightTypes::kMixed:
        return static_cast<DType>(next++ % kNumFloatTypes);
    }
    return DType::kF32;
  });
}

WeightKind KindOf(WeightTypes types) {
  switch (types) {
    case WeightTypes::kInt8:
    case WeightTypes::kInt8ByInt8:
      return WeightKind::kInt8;
    case WeightTypes::kInt8Mixed:
      return WeightKind::kInt8Mixed;
    case WeightTypes::kInt4:
      return WeightKind::kInt4;
    case WeightTypes::kInt4Mixed:
    case WeightTypes::kInt4MixedByInt8:
      return WeightKind::kInt4Mixed;
    default:
      return WeightKind::kAsStored;
  }
}

// The type of the large matrices, if they are blocks.
std::optional<DType> BlockTypeOf(WeightTypes types) {
  switch (types) {
    case WeightTypes::kQ8_0:
    case WeightTypes::kQ8_0ByInt8:
      return DType::kQ8_0;
    case WeightTypes::kQ5_0ByInt8:
      return DType::kQ5_0;
    case WeightTypes::kQ4_0:
    case WeightTypes::kQ4_0ByInt8:
      return DType::kQ4_0;
    default:
      return std::nullopt;
  }
}

ActivationKind ActivationsOf(WeightTypes types) {
  return types < WeightTypes::kInt8ByInt8 ? ActivationKind::kAuto
                                          : ActivationKind::kInt8;
}

// A checkpoint of a shape with these types of weights.
struct StoredModel {
  WeightKind kind = WeightKind::kAsStored;
  ActivationKind activations = ActivationKind::kAuto;
  std::optional<DType> block_type;
  TestTensors stored;   // as the file has them
  TestTensors tensors;  // as numbers
  std::shared_ptr<const TensorFile> file;
};

std::shared_ptr<const TensorFile> WriteFile(const TestTensors& stored,
                                            WeightKind kind) {
  // A header of odd size misaligns every tensor, where that is allowed.
  return kind == WeightKind::kAsStored ? testing::MakeTensorFile(stored, 2, 1)
                                       : testing::MakeQuantizedFile(stored);
}

StoredModel MakeStoredModel(const ModelShape& shape, WeightTypes types) {
  StoredModel model{.kind = KindOf(types),
                    .activations = ActivationsOf(types),
                    .block_type = BlockTypeOf(types)};
  model.tensors = model.stored = MakeTensors(shape, types);
  if (model.kind != WeightKind::kAsStored) {
    model.stored = testing::Quantized(model.tensors, model.kind);
    model.tensors = testing::Dequantized(model.stored, model.tensors);
  }
  if (model.block_type.has_value()) {
    model.stored = testing::WithBlocks(model.tensors, *model.block_type);
    model.tensors = testing::ValuesOfBlocks(model.stored, *model.block_type);
  }
  model.file = WriteFile(model.stored, model.kind);
  return model;
}

// The same, made when it is first needed: all laws and instruction sets use it.
const StoredModel& SharedStoredModel(const ModelShape& shape,
                                     WeightTypes types) {
  using Key = std::tuple<Architecture, bool, WeightTypes>;
  static auto* const models = new std::map<Key, StoredModel>;
  const Key key = {shape.architecture, shape.odd_sizes, types};
  const auto found = models->find(key);
  if (found != models->end()) return found->second;
  return models->emplace(key, MakeStoredModel(shape, types)).first->second;
}

using ModelParam = std::tuple<const KernelTable*, WeightTypes, ModelShape>;

class ModelLaws : public ::testing::TestWithParam<ModelParam> {
 protected:
  void SetUp() override {
    const auto& [kernels, types, shape] = GetParam();
    from_ = &SharedStoredModel(shape, types);
    auto model = Load(from_->file);
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_EQ((*model)->config().architecture, shape.architecture);
    model_ = *std::move(model);
    workspace_ = std::make_unique<Workspace>(model_->NewWorkspace(512, &pool_));
    vocab_ = model_->config().vocab_size;
  }

  static absl::StatusOr<std::unique_ptr<const Model>> Load(
      const std::shared_ptr<const TensorFile>& file) {
    const auto& [kernels, types, shape] = GetParam();
    return LoadModel(file,
                     {.kernels = kernels, .activations = ActivationsOf(types)});
  }

  Tokens RandomTokens(int64_t n) {
    std::uniform_int_distribution<int32_t> any(0, vocab_ - 1);
    Tokens tokens(n);
    for (int32_t& token : tokens) token = any(random_);
    return tokens;
  }

  // Advances `state` by `tokens` and returns the wanted logits.
  std::vector<float> Forward(absl::Span<const int32_t> tokens, State* state,
                             LogitsWanted wanted) {
    Chunk chunk{.tokens = tokens, .state = state, .wanted = wanted};
    std::vector<float> logits(chunk.LogitsRows() * vocab_);
    chunk.logits = absl::MakeSpan(logits);
    model_->Forward({chunk}, *workspace_);
    return logits;
  }

  std::vector<float> LastRow(const std::vector<float>& logits) const {
    return {logits.end() - vocab_, logits.end()};
  }

  // Compares logits within the bound of law 6.
  void ExpectNear(const std::vector<float>& logits,
                  const std::vector<std::vector<double>>& expected) {
    const double bound =
        from_->block_type.has_value()
            ? RelativeErrorBound(model_->config(), *from_->block_type,
                                 from_->activations)
            : RelativeErrorBound(model_->config(), from_->kind,
                                 from_->activations);
    double largest_error = 0, largest = 0;
    for (size_t t = 0; t < expected.size(); ++t) {
      for (int64_t i = 0; i < vocab_; ++i) {
        const double got = logits[t * vocab_ + i];
        ASSERT_FALSE(std::isnan(got));
        largest_error = std::max(largest_error, std::abs(got - expected[t][i]));
        largest = std::max(largest, std::abs(expected[t][i]));
      }
    }
    RecordProperty("error", absl::StrCat(largest_error));
    RecordProperty("bound", absl::StrCat(bound * largest));
    EXPECT_LE(largest_error, bound * largest) << "of logits up to " << largest;
  }

  std::mt19937_64 random_{7};
  ThreadPool pool_{3};
  const StoredModel* from_ = nullptr;
  std::unique_ptr<const Model> model_;
  std::unique_ptr<Workspace> workspace_;
  int64_t vocab_ = 0;
};

// Law 1.
TEST_P(ModelLaws, AnySplitIntoChunksIsBitIdentical) {
  const Tokens text = RandomTokens(60);
  State whole = model_->NewState();
  const auto expected = Forward(text, &whole, LogitsWanted::kAll);
  for (int round = 0; round < 4; ++round) {
    State state = model_->NewState();
    std::vector<float> logits;
    // The first round processes token by token.
    std::uniform_int_distribution<size_t> length(1, round == 0 ? 1 : 25);
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min(length(random_), text.size() - at);
      const auto part = Forward(absl::MakeConstSpan(text).subspan(at, n),
                                &state, LogitsWanted::kAll);
      logits.insert(logits.end(), part.begin(), part.end());
      at += n;
    }
    EXPECT_EQ(logits, expected);
    EXPECT_EQ(state, whole);
  }
}

// Law 1: a chunk can also report the states after each of its tokens.
TEST_P(ModelLaws, InnerStatesAreBitIdenticalToThoseAfterEachToken) {
  const Tokens text = RandomTokens(9);
  for (const size_t first : {size_t{0}, size_t{4}}) {
    State before = model_->NewState();
    if (first > 0) {
      Forward(absl::MakeConstSpan(text).first(first), &before,
              LogitsWanted::kNone);
    }
    const auto rest = absl::MakeConstSpan(text).subspan(first);
    State state = before, other = before;
    // What they held before does not matter.
    std::vector<State> inner(rest.size() - 1, model_->NewState());
    Forward(RandomTokens(5), &inner[0], LogitsWanted::kNone);
    std::vector<float> logits(rest.size() * vocab_);
    const Tokens neighbor = RandomTokens(2);
    model_->Forward({{.tokens = neighbor, .state = &other},
                     {.tokens = rest,
                      .state = &state,
                      .wanted = LogitsWanted::kAll,
                      .logits = absl::MakeSpan(logits),
                      .inner_states = absl::MakeSpan(inner)}},
                    *workspace_);
    State one = before;
    for (size_t i = 0; i < rest.size(); ++i) {
      const auto expected =
          Forward(rest.subspan(i, 1), &one, LogitsWanted::kLast);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(),
                             logits.begin() + i * vocab_));
      EXPECT_EQ(i < inner.size() ? inner[i] : state, one) << "after " << i;
    }
  }
}

// Law 2.
TEST_P(ModelLaws, AnyBatchIsBitIdentical) {
  for (int num : {2, 3, 5, 6, 7, 13, 20}) {
    std::vector<Tokens> texts;
    std::vector<State> states(num, model_->NewState());
    std::vector<std::vector<float>> logits(num);
    std::vector<Chunk> chunks;
    for (int i = 0; i < num; ++i) {
      texts.push_back(RandomTokens(i % 3 == 0 ? 9 : 1));
      Forward(RandomTokens(3), &states[i], LogitsWanted::kNone);
    }
    std::vector<State> before = states;
    for (int i = 0; i < num; ++i) {
      Chunk chunk{.tokens = texts[i],
                  .state = &states[i],
                  .wanted = static_cast<LogitsWanted>(i % 3)};
      logits[i].resize(chunk.LogitsRows() * vocab_);
      chunk.logits = absl::MakeSpan(logits[i]);
      chunks.push_back(chunk);
    }
    model_->Forward(chunks, *workspace_);
    for (int i = 0; i < num; ++i) {
      EXPECT_EQ(Forward(texts[i], &before[i], chunks[i].wanted), logits[i]);
      EXPECT_EQ(before[i], states[i]) << "sequence " << i << " of " << num;
    }
  }
}

// Logits that are contiguous in memory are computed together.
TEST_P(ModelLaws, AnyPlacementOfLogitsIsBitIdentical) {
  constexpr int kNum = 5;
  const Tokens text = RandomTokens(kNum);
  std::vector<State> apart(kNum, model_->NewState()), together = apart;
  std::vector<float> joined(kNum * vocab_);
  std::vector<Chunk> chunks;
  for (int i = 0; i < kNum; ++i) {
    chunks.push_back(
        {.tokens = absl::MakeConstSpan(text).subspan(i, 1),
         .state = &together[i],
         .wanted = LogitsWanted::kLast,
         .logits = absl::MakeSpan(joined).subspan(i * vocab_, vocab_)});
  }
  model_->Forward(chunks, *workspace_);
  for (int i = 0; i < kNum; ++i) {
    const auto logits =
        Forward(chunks[i].tokens, &apart[i], LogitsWanted::kLast);
    EXPECT_TRUE(
        std::equal(logits.begin(), logits.end(), joined.begin() + i * vocab_));
  }
}

TEST_P(ModelLaws, AnyNumberOfThreadsIsBitIdentical) {
  const Tokens text = RandomTokens(40);
  State state = model_->NewState();
  const auto expected = Forward(text, &state, LogitsWanted::kAll);
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    Workspace workspace = model_->NewWorkspace(40, &pool);
    State other = model_->NewState();
    std::vector<float> logits(text.size() * vocab_);
    model_->Forward({{.tokens = text,
                      .state = &other,
                      .wanted = LogitsWanted::kAll,
                      .logits = absl::MakeSpan(logits)}},
                    workspace);
    EXPECT_EQ(logits, expected);
    EXPECT_EQ(other, state);
  }
}

// Law 3.
TEST_P(ModelLaws, ForkedStateContinuesLikeASeparateRun) {
  const Tokens prefix = RandomTokens(11), left = RandomTokens(5),
               right = RandomTokens(7);
  State trunk = model_->NewState();
  Forward(prefix, &trunk, LogitsWanted::kNone);
  State fork = trunk;
  const auto left_logits = Forward(left, &trunk, LogitsWanted::kAll);
  const auto right_logits = Forward(right, &fork, LogitsWanted::kAll);

  for (const auto& [end, logits, state] :
       {std::tie(left, left_logits, trunk),
        std::tie(right, right_logits, fork)}) {
    State separate = model_->NewState();
    Forward(prefix, &separate, LogitsWanted::kNone);
    EXPECT_EQ(Forward(end, &separate, LogitsWanted::kAll), logits);
    EXPECT_EQ(separate, state);
  }
}

// Law 5.
TEST_P(ModelLaws, SkippingLogitsChangesNothingElse) {
  const Tokens text = RandomTokens(17);
  State all = model_->NewState(), last = all, none = all;
  const auto all_logits = Forward(text, &all, LogitsWanted::kAll);
  const auto last_logits = Forward(text, &last, LogitsWanted::kLast);
  Forward(text, &none, LogitsWanted::kNone);
  EXPECT_EQ(LastRow(all_logits), last_logits);
  EXPECT_EQ(all, last);
  EXPECT_EQ(all, none);
}

// Law 6.
TEST_P(ModelLaws, LogitsFollowTheEquationsOfThePapers) {
  const Tokens text = RandomTokens(50);
  State state = model_->NewState();
  ExpectNear(
      Forward(text, &state, LogitsWanted::kAll),
      testing::Reference(model_->config().architecture, from_->tensors, text));
}

// The same with a tuned initial state of the checkpoint or of another file.
TEST_P(ModelLaws, TunedStateFollowsTheEquationsOfThePapers) {
  const Architecture architecture = model_->config().architecture;
  if (architecture == Architecture::kRwkv4) return;  // has no such states
  const Tokens text = RandomTokens(20);
  const TestTensors tuned =
      testing::RandomTimeState(from_->tensors, 3, DType::kBF16);
  TestTensors all = from_->tensors;
  all.insert(tuned.begin(), tuned.end());
  const auto expected = testing::Reference(architecture, all, text);

  auto from_file = model_->NewTunedState(*testing::MakeTensorFile(tuned));
  ASSERT_TRUE(from_file.ok()) << from_file.status();
  const auto logits = Forward(text, &*from_file, LogitsWanted::kAll);
  ExpectNear(logits, expected);

  TestTensors stored = from_->stored;
  stored.insert(tuned.begin(), tuned.end());
  auto model = Load(WriteFile(stored, from_->kind));
  ASSERT_TRUE(model.ok()) << model.status();
  model_ = *std::move(model);
  State own = model_->NewState();
  EXPECT_EQ(Forward(text, &own, LogitsWanted::kAll), logits);
  EXPECT_EQ(own, *from_file);
}

std::string ModelName(const ::testing::TestParamInfo<ModelParam>& info) {
  static constexpr const char* kTypes[] = {
      "F32",        "F16",        "BF16",       "Mixed",
      "Int8",       "Int8Mixed",  "Int4",       "Int4Mixed",
      "Q8_0",       "Q4_0",       "Int8ByInt8", "Int4MixedByInt8",
      "Q8_0ByInt8", "Q5_0ByInt8", "Q4_0ByInt8"};
  const auto& [kernels, types, shape] = info.param;
  return absl::StrCat(NameOf(shape), kTypes[static_cast<int>(types)],
                      kernels->name);
}

INSTANTIATE_TEST_SUITE_P(
    AllVersions, ModelLaws,
    ::testing::Combine(::testing::ValuesIn(SupportedKernels()),
                       ::testing::Values(WeightTypes::kF32, WeightTypes::kF16,
                                         WeightTypes::kBF16,
                                         WeightTypes::kMixed),
                       ::testing::ValuesIn(AllShapes())),
    ModelName);

INSTANTIATE_TEST_SUITE_P(
    Quantized, ModelLaws,
    ::testing::Combine(::testing::ValuesIn(SupportedKernels()),
                       ::testing::Values(WeightTypes::kInt8,
                                         WeightTypes::kInt8Mixed,
                                         WeightTypes::kInt4,
                                         WeightTypes::kInt4Mixed,
                                         WeightTypes::kInt8ByInt8,
                                         WeightTypes::kInt4MixedByInt8),
                       ::testing::ValuesIn(EvenShapes())),
    ModelName);

INSTANTIATE_TEST_SUITE_P(
    Blocks, ModelLaws,
    ::testing::Combine(
        ::testing::ValuesIn(SupportedKernels()),
        ::testing::Values(WeightTypes::kQ8_0, WeightTypes::kQ4_0,
                          WeightTypes::kQ8_0ByInt8, WeightTypes::kQ5_0ByInt8,
                          WeightTypes::kQ4_0ByInt8),
        ::testing::Values(ModelShape{Architecture::kRwkv6, false},
                          ModelShape{Architecture::kRwkv7, false})),
    ModelName);

}  // namespace
}  // namespace rwkvd
