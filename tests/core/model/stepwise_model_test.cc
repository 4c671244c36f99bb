// SPDX-License-Identifier: Apache-2.0
// Networks that are run step by step.

#include "core/model/stepwise_model.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::TestTensors;
using Tokens = absl::Span<const int32_t>;

constexpr int64_t kVocab = 40;

// By the network's version.
std::vector<std::pair<std::string, TestTensors>> AllVersions() {
  const auto rwkv5 = [](int minor) {
    return testing::RandomRwkv5({.minor = minor,
                                 .heads = 3,
                                 .head_size = 8,
                                 .ffn = 50,
                                 .vocab = kVocab},
                                1);
  };
  return {
      {"4", testing::RandomRwkv4({.layers = 3,
                                  .embedding = 24,
                                  .attention = 32,
                                  .ffn = 50,
                                  .vocab = kVocab},
                                 1)},
      {"5.0", rwkv5(0)},
      {"5.1", rwkv5(1)},
      {"5.2", rwkv5(2)},
      {"6", testing::RandomRwkv6(
                {.heads = 3, .head_size = 8, .ffn = 50, .vocab = kVocab}, 1)},
      {"7", testing::RandomRwkv7(
                {.heads = 3, .head_size = 8, .ffn = 50, .vocab = kVocab}, 1)}};
}

// A part of the text, and what its last step has passed on.
struct Piece {
  Tokens tokens;
  std::vector<std::vector<float>> passed;
};

class Stepwise {
 public:
  Stepwise(const StepwiseModel& model, ThreadPool* pool, int64_t most)
      : model_(model), workspace_(model.NewWorkspace(most, pool)) {}

  void Keep(Piece& piece) {
    piece.passed.clear();
    for (const Rows& rows : Passed(piece)) {
      piece.passed.emplace_back(rows.data, rows.data + rows.num * rows.width);
    }
    // Another piece's steps come between.
    for (const Rows& rows : Passed(piece)) {
      std::fill_n(rows.data, rows.num * rows.width, -7.0f);
    }
  }

  void PutBack(const Piece& piece) {
    auto from = piece.passed.begin();
    for (const Rows& rows : Passed(piece)) {
      std::copy(from->begin(), from->end(), rows.data);
      ++from;
    }
  }

  std::vector<Rows> Passed(const Piece& piece) {
    return model_.Passed(static_cast<int64_t>(piece.tokens.size()), workspace_);
  }

  Workspace& workspace() { return workspace_; }

 private:
  const StepwiseModel& model_;
  Workspace workspace_;
};

TEST(StepwiseModelTest, BlockByBlockOverATextGivesTheSameBits) {
  std::vector<int32_t> text(23);
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<int32_t>(i * i * 7 % kVocab);
  }
  ThreadPool pool(2);
  for (const auto& [version, tensors] : AllVersions()) {
    SCOPED_TRACE(version);
    const auto loaded = LoadModel(testing::MakeTensorFile(tensors));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const StepwiseModel& model = **loaded;
    const int64_t size = static_cast<int64_t>(text.size());

    State whole = model.NewState();
    std::vector<float> expected(size * kVocab);
    Workspace workspace = model.NewWorkspace(size, &pool);
    model.Forward({{.tokens = text,
                    .state = &whole,
                    .wanted = LogitsWanted::kAll,
                    .logits = absl::MakeSpan(expected)}},
                  workspace);

    std::vector<Piece> pieces;
    for (int64_t first = 0; first < size; first += 10) {
      pieces.push_back({Tokens(text).subspan(first, 10), {}});
    }
    Stepwise steps(model, &pool, 10);
    State state = model.NewState();
    for (Piece& piece : pieces) {
      model.Begin({{.tokens = piece.tokens, .state = &state}},
                  steps.workspace());
      steps.Keep(piece);
    }
    for (int64_t block = 0; block < model.num_blocks(); ++block) {
      for (Piece& piece : pieces) {
        steps.PutBack(piece);
        model.RunBlock(block, {{.tokens = piece.tokens, .state = &state}},
                       steps.workspace());
        steps.Keep(piece);
      }
    }
    std::vector<float> logits(size * kVocab);
    int64_t done = 0;
    for (const Piece& piece : pieces) {
      steps.PutBack(piece);
      const int64_t num = static_cast<int64_t>(piece.tokens.size());
      model.End({{.tokens = piece.tokens,
                  .state = &state,
                  .wanted = LogitsWanted::kAll,
                  .logits = absl::MakeSpan(logits).subspan(done * kVocab,
                                                           num * kVocab)}},
                steps.workspace());
      done += num;
    }
    EXPECT_EQ(logits, expected);
    EXPECT_TRUE(std::equal(state.values().begin(), state.values().end(),
                           whole.values().begin()));
  }
}

}  // namespace
}  // namespace rwkvd
