// SPDX-License-Identifier: Apache-2.0
// RWKV-4 checkpoints against the logits of BlinkDL's own code. Tolerances are
// those the fixtures state: per logit, the larger of 2e-5 and ten times what
// that code itself moves between single and double precision.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/kernels.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using nlohmann::json;

struct Golden {
  const char* checkpoint;  // below models/
  const char* reference;   // below refs/, without .json
};

const Golden kGolden[] = {
    {"tiny-4v0-660k/model.safetensors", "tiny-4v0-660k/p1-short"},
    {"tiny-4v0-660k/model.safetensors", "tiny-4v0-660k/p2-300"},
    {"tiny-4v0-660k/sharded", "tiny-4v0-660k/p1-short"},
    {"tiny-4v0-660k/sharded", "tiny-4v0-660k/p2-300"},
    {"hybrid-4v0/model-f32.safetensors", "hybrid-4v0/p1-short"},
    {"hybrid-4v0/model-f32.safetensors", "hybrid-4v0/p2-300"},
    {"hybrid-4v0/model-bf16.safetensors", "hybrid-4v0/p1-short.bf16-weights"},
    {"hybrid-4v0/model-f16.safetensors", "hybrid-4v0/p1-short.f16-weights"},
    {"synth-4v0-pile/model-bf16.safetensors", "synth-4v0-pile/p1-short"},
    {"synth-4v0-pile/model-bf16.safetensors", "synth-4v0-pile/p2-300"},
    {"synth-4v0-world/model-bf16.safetensors", "synth-4v0-world/p1-short"},
    {"synth-4v0-world/model-bf16.safetensors", "synth-4v0-world/p2-300"},
};

// One sequence through one model.
class Sequence {
 public:
  Sequence(const std::string& checkpoint, const KernelTable& kernels) {
    auto file = TensorFile::Open(
        absl::StrCat(testing::FixturesDirectory(), "/models/", checkpoint));
    EXPECT_TRUE(file.ok()) << file.status();
    auto model = LoadModel(*file, kernels);
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    workspace_.emplace(model_->NewWorkspace(512, &pool_));
    state_ = model_->NewState();
  }

  int64_t vocab() const { return model_->config().vocab_size; }
  const State& state() const { return state_; }

  // The logits wanted, [n, vocab].
  std::vector<float> Read(const std::vector<int32_t>& tokens,
                          LogitsWanted wanted) {
    const int64_t rows = wanted == LogitsWanted::kAll ? tokens.size() : 1;
    std::vector<float> logits(rows * vocab());
    model_->Forward({{.tokens = tokens,
                      .state = &state_,
                      .wanted = wanted,
                      .logits = absl::MakeSpan(logits)}},
                    *workspace_);
    return logits;
  }

 private:
  ThreadPool pool_{2};
  std::unique_ptr<const Model> model_;
  std::optional<Workspace> workspace_;
  State state_;
};

double MaxDifference(absl::Span<const float> a, absl::Span<const float> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double{a[i]} - double{b[i]});
    if (!(difference <= largest)) largest = difference;  // keeps NaN
  }
  return largest;
}

int32_t Greedy(absl::Span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

double LogProbability(absl::Span<const float> logits, int32_t id) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return logits[id] - largest - std::log(sum);
}

class Rwkv4GoldenTest
    : public ::testing::TestWithParam<std::tuple<Golden, const KernelTable*>> {
 protected:
  void SetUp() override {
    RWKVD_NEED_FIXTURES();
    refs_ = absl::StrCat(testing::FixturesDirectory(), "/refs/",
                         golden().reference);
    reference_ = json::parse(testing::ReadFileOrDie(refs_ + ".json"));
    ids_ = reference_["ids"].get<std::vector<int32_t>>();
    tolerance_ = std::max(
        2e-5, 10 * reference_["max_abs_logit_diff_fp32_vs_fp64"].get<double>());
    sequence_.emplace(golden().checkpoint, *std::get<1>(GetParam()));
  }

  const Golden& golden() const { return std::get<0>(GetParam()); }
  bool HasFile(const char* key) const { return reference_.contains(key); }

  std::string refs_;
  json reference_;
  std::vector<int32_t> ids_;
  double tolerance_ = 0;
  std::optional<Sequence> sequence_;
};

TEST_P(Rwkv4GoldenTest, LastLogitsAgree) {
  const auto expected = testing::ReadFloatsOrDie(refs_ + ".last-logits.f32");
  const auto logits = sequence_->Read(ids_, LogitsWanted::kLast);
  EXPECT_LE(MaxDifference(logits, expected), tolerance_);
  EXPECT_EQ(Greedy(logits), Greedy(expected));
}

TEST_P(Rwkv4GoldenTest, LogProbabilitiesOfThePromptAgree) {
  const auto logits = sequence_->Read(ids_, LogitsWanted::kAll);
  const auto& expected = reference_["logprob_next_fp64"];
  double sum = 0;
  for (size_t i = 0; i + 1 < ids_.size(); ++i) {
    const double logprob =
        LogProbability(absl::MakeConstSpan(logits).subspan(
                           i * sequence_->vocab(), sequence_->vocab()),
                       ids_[i + 1]);
    EXPECT_NEAR(logprob, expected[i].get<double>(), 5e-5) << "token " << i + 1;
    sum += logprob;
  }
  EXPECT_NEAR(sum, reference_["logprob_sum_fp64"].get<double>(),
              5e-5 * ids_.size());
}

TEST_P(Rwkv4GoldenTest, TopFiveAgreeAtEveryPosition) {
  const auto logits = sequence_->Read(ids_, LogitsWanted::kAll);
  for (size_t i = 0; i < ids_.size(); ++i) {
    for (const auto& top : reference_["top5_fp32"][i]) {
      EXPECT_NEAR(logits[i * sequence_->vocab() + top[0].get<int64_t>()],
                  top[1].get<double>(), tolerance_)
          << "position " << i;
    }
  }
}

TEST_P(Rwkv4GoldenTest, GreedyContinuationAgrees) {
  auto logits = sequence_->Read(ids_, LogitsWanted::kLast);
  const auto expected = reference_["greedy64_fp64"].get<std::vector<int32_t>>();
  for (size_t i = 0; i < expected.size(); ++i) {
    // The fixtures hold no step that is closer than this.
    ASSERT_GT(reference_["greedy_margin_fp64"][i].get<double>(),
              2 * tolerance_);
    ASSERT_EQ(Greedy(logits), expected[i]) << "step " << i;
    logits = sequence_->Read({expected[i]}, LogitsWanted::kLast);
  }
}

TEST_P(Rwkv4GoldenTest, AllLogitsAgree) {
  if (!HasFile("all_logits_file")) return;  // this reference has none
  const auto expected = testing::ReadFloatsOrDie(refs_ + ".all-logits.f32");
  EXPECT_LE(MaxDifference(sequence_->Read(ids_, LogitsWanted::kAll), expected),
            tolerance_);
}

std::vector<std::tuple<Golden, const KernelTable*>> Cases() {
  std::vector<std::tuple<Golden, const KernelTable*>> cases;
  for (const Golden& golden : kGolden) {
    for (const KernelTable* kernels : SupportedKernels()) {
      cases.emplace_back(golden, kernels);
    }
  }
  return cases;
}

std::string Name(
    const ::testing::TestParamInfo<std::tuple<Golden, const KernelTable*>>&
        info) {
  const auto& [golden, kernels] = info.param;
  std::string name = absl::StrCat(golden.checkpoint, "_", golden.reference, "_",
                                  kernels->name);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c)) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Rwkv4GoldenTest,
                         ::testing::ValuesIn(Cases()), Name);

// rwkv.cpp's own expected logits for its own test model.
TEST(Rwkv4GoldenRwkvCppTest, LogitsAgree) {
  RWKVD_NEED_FIXTURES();
  Sequence sequence("tiny-4v0-660k/model.safetensors", BestKernels());
  const auto expected = testing::ReadFloatsOrDie(
      testing::FixturesDirectory() +
      "/refs/tiny-4v0-660k/p0-rwkvcpp.expected-logits.f32");
  const auto logits = sequence.Read({'"', 'i', 'n'}, LogitsWanted::kLast);
  EXPECT_LE(MaxDifference(logits, expected), 2e-5);
}

// The state after a prompt, value by value, in the order of BlinkDL's
// RWKV_in_150_lines.py, which is ours.
TEST(Rwkv4GoldenStateTest, StateAgrees) {
  RWKVD_NEED_FIXTURES();
  for (const char* model : {"tiny-4v0-660k/model", "hybrid-4v0/model-f32"}) {
    Sequence sequence(absl::StrCat(model, ".safetensors"), BestKernels());
    const std::string refs =
        absl::StrCat(testing::FixturesDirectory(), "/refs/",
                     std::string(model).substr(0, std::string(model).find('/')),
                     "/p1-short");
    const auto ids = json::parse(testing::ReadFileOrDie(refs + ".json"))["ids"]
                         .get<std::vector<int32_t>>();
    sequence.Read(ids, LogitsWanted::kLast);
    const auto expected = testing::ReadFloatsOrDie(refs + ".state.f32");
    ASSERT_EQ(sequence.state().values().size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(sequence.state().values()[i], expected[i],
                  2e-5 * std::max(1.0f, std::abs(expected[i])))
          << model << " value " << i;
    }
  }
}

}  // namespace
}  // namespace rwkvd
