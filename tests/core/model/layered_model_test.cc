// SPDX-License-Identifier: Apache-2.0
// Tests that a model can be run step by step.

#include "core/model/layered_model.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
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

// Random models, by version.
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

// A part of the text, and the activations that its last step carried over.
struct Piece {
  Tokens tokens;
  std::vector<std::vector<float>> carried;
};

std::vector<std::vector<float>> CopyOf(const std::vector<Rows>& activations) {
  std::vector<std::vector<float>> copies;
  for (const Rows& rows : activations) {
    copies.emplace_back(rows.data, rows.data + rows.num * rows.width);
  }
  return copies;
}

void CopyTo(const std::vector<std::vector<float>>& copies,
            const std::vector<Rows>& activations) {
  auto from = copies.begin();
  for (const Rows& rows : activations) {
    std::copy(from->begin(), from->end(), rows.data);
    ++from;
  }
}

// As if the steps of another piece came between.
void Overwrite(const std::vector<Rows>& activations) {
  for (const Rows& rows : activations) {
    std::fill_n(rows.data, rows.num * rows.width, -7.0f);
  }
}

// Runs one step of a forward pass over a piece.
void RunStep(const LayeredModel& model, Workspace& workspace,
             const Chunk& chunk, Piece& piece,
             absl::FunctionRef<void(ForwardPass&)> step) {
  const auto pass = model.BeginPass({&chunk, 1}, workspace);
  if (!piece.carried.empty()) CopyTo(piece.carried, pass->CarriedActivations());
  step(*pass);
  piece.carried = CopyOf(pass->CarriedActivations());
  Overwrite(pass->CarriedActivations());
}

TEST(LayeredModelTest, BlockByBlockOverATextIsBitIdenticalToForward) {
  std::vector<int32_t> text(23);
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<int32_t>(i * i * 7 % kVocab);
  }
  ThreadPool pool(2);
  for (const auto& [version, tensors] : AllVersions()) {
    SCOPED_TRACE(version);
    const auto loaded = LoadModel(testing::MakeTensorFile(tensors));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const LayeredModel& model = **loaded;
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
    Workspace small = model.NewWorkspace(10, &pool);
    State state = model.NewState();
    const auto run_all = [&](absl::FunctionRef<void(ForwardPass&)> step) {
      for (Piece& piece : pieces) {
        RunStep(model, small, {.tokens = piece.tokens, .state = &state}, piece,
                step);
      }
    };
    run_all([](ForwardPass& pass) { pass.Embed(); });
    for (int64_t layer = 0; layer < model.config().num_layers; ++layer) {
      run_all([&](ForwardPass& pass) { pass.RunTimeMixing(layer); });
      run_all([&](ForwardPass& pass) { pass.RunChannelMixing(layer); });
    }
    std::vector<float> logits(size * kVocab);
    int64_t done = 0;
    for (Piece& piece : pieces) {
      const int64_t num = static_cast<int64_t>(piece.tokens.size());
      RunStep(model, small,
              {.tokens = piece.tokens,
               .state = &state,
               .wanted = LogitsWanted::kAll,
               .logits =
                   absl::MakeSpan(logits).subspan(done * kVocab, num * kVocab)},
              piece, [](ForwardPass& pass) { pass.ComputeLogits(); });
      done += num;
    }
    EXPECT_EQ(logits, expected);
    EXPECT_TRUE(std::equal(state.values().begin(), state.values().end(),
                           whole.values().begin()));
  }
}

}  // namespace
}  // namespace rwkvd
