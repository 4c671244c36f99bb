// SPDX-License-Identifier: Apache-2.0
// Compares a model with LoRA adapters, or with a tuned state, with the logits
// of BlinkDL's code on weights that were merged in double precision.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/adapter.h"
#include "core/checkpoint/merge_adapters.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/test_tensor.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using nlohmann::json;

namespace fs = std::filesystem;

std::string Lora() {
  return absl::StrCat(testing::FormatFixturesDirectory(), "/lora");
}

struct Case {
  std::string name;  // "peft-official"
  std::string path;  // of the adapter or state
};

// All adapters and states that have a reference.
std::vector<Case> FindCases() {
  std::vector<Case> cases;
  if (testing::FormatFixturesDirectory().empty()) return cases;
  for (const auto& entry : fs::directory_iterator(Lora())) {
    const std::string name = entry.path().stem().string();
    if (fs::exists(absl::StrCat(Lora(), "/refs/", name, ".p1-short.json"))) {
      cases.push_back({name, entry.path().string()});
    }
  }
  return cases;
}

double LogProbabilityOf(absl::Span<const float> logits, int32_t id) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return logits[id] - largest - std::log(sum);
}

class AdapterGoldenTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    RWKVD_NEED_FORMAT_FIXTURES();
    const std::string refs =
        absl::StrCat(Lora(), "/refs/", GetParam().name, ".p1-short");
    reference_ = json::parse(testing::ReadFileOrDie(refs + ".json"));
    last_ = testing::ReadFloatsOrDie(refs + ".last-logits.f32");
  }

  bool IsState() const { return !reference_.contains("adapter"); }

  std::optional<double> Alpha() const {
    if (fs::is_directory(GetParam().path)) return std::nullopt;
    return reference_["adapter"]["lora_alpha"].get<double>();
  }

  // The base model with the adapter; merged matrices have the type `dtype`, or
  // that of the base.
  std::shared_ptr<const TensorFile> Open(std::optional<DType> dtype) {
    auto base = TensorFile::Open(absl::StrCat(
        testing::FormatFixturesDirectory(), "/hf7-spellings/native"));
    EXPECT_TRUE(base.ok()) << base.status();
    if (IsState()) return *base;
    const auto adapters = OpenAdapters({{"it", GetParam().path}}, Alpha());
    EXPECT_TRUE(adapters.ok()) << adapters.status();
    const auto merged = MergeAdapters(*base, *adapters, dtype, pool_);
    EXPECT_TRUE(merged.ok()) << merged.status();
    return *merged;
  }

  // The logits after every token of the prompt, [tokens, vocabulary].
  std::vector<float> Logits(std::optional<DType> dtype) {
    const auto model = LoadModel(Open(dtype));
    EXPECT_TRUE(model.ok()) << model.status();
    Workspace workspace = (*model)->NewWorkspace(512, &pool_);
    State state = (*model)->NewState();
    if (IsState()) {
      const auto tuned = TensorFile::Open(GetParam().path);
      EXPECT_TRUE(tuned.ok()) << tuned.status();
      state = (*model)->NewTunedState(**tuned).value();
    }
    const auto ids = reference_["ids"].get<std::vector<int32_t>>();
    std::vector<float> logits(ids.size() * last_.size());
    (*model)->Forward({{.tokens = ids,
                        .state = &state,
                        .wanted = LogitsWanted::kAll,
                        .logits = absl::MakeSpan(logits)}},
                      workspace);
    return logits;
  }

  // The largest difference of the logits from the reference: the likeliest
  // five after every token, and all after the last one.
  double MaxDifference(absl::Span<const float> logits) const {
    double largest = 0;
    const auto compare = [&largest](double a, double b) {
      const double difference = std::abs(a - b);
      if (!(difference <= largest)) largest = difference;  // keeps NaN
    };
    const auto& top = reference_["top5_fp32"];
    for (size_t i = 0; i < top.size(); ++i) {
      for (const auto& one : top[i]) {
        compare(logits[i * last_.size() + one[0].get<size_t>()],
                one[1].get<double>());
      }
    }
    const auto end = logits.last(last_.size());
    for (size_t i = 0; i < last_.size(); ++i) compare(end[i], last_[i]);
    return largest;
  }

  json reference_;
  std::vector<float> last_;
  ThreadPool pool_{2};
};

TEST_P(AdapterGoldenTest, AgreesAtEveryPosition) {
  const std::vector<float> logits = Logits(DType::kF32);
  const double tolerance = std::max(
      2e-5, 10 * reference_["max_abs_logit_diff_fp32_vs_fp64"].get<double>());
  EXPECT_LE(MaxDifference(logits), tolerance);
  const auto ids = reference_["ids"].get<std::vector<int32_t>>();
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    const auto row =
        absl::MakeConstSpan(logits).subspan(i * last_.size(), last_.size());
    EXPECT_NEAR(LogProbabilityOf(row, ids[i + 1]),
                reference_["logprob_next_fp64"][i].get<double>(), 5e-5)
        << "token " << i + 1;
  }
}

// The reference states how far the logits are if merged matrices are rounded.
TEST_P(AdapterGoldenTest, RoundedToTheTypeOfTheBaseItIsAsFarAsStated) {
  if (IsState()) return;  // nothing is merged
  const double stated =
      reference_["max_abs_logit_diff_if_merged_matrices_are_rounded_to_bf16"]
          .get<double>();
  EXPECT_LE(MaxDifference(Logits(std::nullopt)), 1.01 * stated);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, AdapterGoldenTest,
                         ::testing::ValuesIn(FindCases()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AdapterGoldenTest);

// Matrices of block types become BF16.
TEST(AdapterFixturesTest, MergesIntoBlocks) {
  RWKVD_NEED_FORMAT_FIXTURES();
  constexpr char kName[] = "blocks.0.att.key.weight";
  const auto base = TensorFile::Open(absl::StrCat(
      testing::FormatFixturesDirectory(), "/gguf/models/v7.Q4_K_M.gguf"));
  ASSERT_TRUE(base.ok()) << base.status();
  const Tensor& matrix = *(*base)->Find(kName);
  ASSERT_EQ(matrix.dtype, DType::kQ4_K);
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  testing::TestTensor a{.shape = {1, cols}}, b{.shape = {rows, 1}};
  for (int64_t i = 0; i < cols; ++i) a.values.push_back((i % 7 - 3) / 8.f);
  for (int64_t i = 0; i < rows; ++i) b.values.push_back((i % 5 - 2) / 4.f);
  const std::string path = testing::MakeTempDirectory() + "/a.safetensors";
  testing::WriteFileOrDie(
      path, testing::SafetensorsBytes({{"blocks.0.att.key.lora_A", a},
                                       {"blocks.0.att.key.lora_B", b}}));
  ThreadPool pool(2);
  const auto adapters = OpenAdapters({{"it", path}}, /*alpha=*/1);
  ASSERT_TRUE(adapters.ok()) << adapters.status();
  const auto merged = MergeAdapters(*base, *adapters, std::nullopt, pool);
  ASSERT_TRUE(merged.ok()) << merged.status();
  const Tensor& got = *(*merged)->Find(kName);
  ASSERT_EQ(got.dtype, DType::kBF16);
  const std::vector<float> before = ToFloat(matrix), after = ToFloat(got);
  for (int64_t i = 0; i < rows * cols; ++i) {
    const double sum =
        double{before[i]} + double{a.values[i % cols]} * b.values[i / cols];
    ASSERT_NEAR(after[i], sum, std::abs(sum) * 0x1p-8) << i;
  }
}

TEST(AdapterFixturesTest, ThereAreAdaptersOfEveryKind) {
  RWKVD_NEED_FORMAT_FIXTURES();
  EXPECT_GE(FindCases().size(), 5u);
}

}  // namespace
}  // namespace rwkvd
