// SPDX-License-Identifier: Apache-2.0
#include "tools/quality/measurement.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "tests/testing/reference.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::TestTensors;

constexpr int64_t kVocab = 20;
constexpr testing::Rwkv4Sizes kSizes = {
    .layers = 1, .embedding = 16, .attention = 16, .ffn = 32, .vocab = kVocab};

std::unique_ptr<const Model> Load(const TestTensors& tensors) {
  return *LoadModel(testing::MakeTensorFile(tensors));
}

std::vector<Document> SomeDocuments() {
  std::vector<Document> documents(3);
  for (size_t d = 0; d < documents.size(); ++d) {
    // More tokens than one forward pass takes.
    for (size_t i = 0; i < 150 + 40 * d; ++i) {
      documents[d].tokens.push_back(
          static_cast<int32_t>((i * i + 3 * d) % kVocab));
    }
    documents[d].num_bytes = static_cast<int64_t>(100 + d);
  }
  return documents;
}

std::vector<double> Softmax(const std::vector<double>& logits) {
  std::vector<double> p;
  double sum = 0;
  for (double logit : logits) sum += std::exp(logit);
  for (double logit : logits) p.push_back(std::exp(logit) / sum);
  return p;
}

TEST(MeasurementTest, ResultsFollowTheirDefinitions) {
  const TestTensors first = testing::RandomRwkv4(kSizes, 1);
  const TestTensors second = testing::RandomRwkv4(kSizes, 2);
  double bits = 0, reference_bits = 0, bytes = 0;
  std::vector<double> divergences;
  for (const Document& document : SomeDocuments()) {
    bytes += static_cast<double>(document.num_bytes);
    const auto p_logits =
        testing::Reference(Architecture::kRwkv4, first, document.tokens);
    const auto q_logits =
        testing::Reference(Architecture::kRwkv4, second, document.tokens);
    for (size_t t = 0; t + 1 < document.tokens.size(); ++t) {
      const auto p = Softmax(p_logits[t]), q = Softmax(q_logits[t]);
      reference_bits -= std::log2(p[document.tokens[t + 1]]);
      bits -= std::log2(q[document.tokens[t + 1]]);
      double divergence = 0;
      for (size_t i = 0; i < p.size(); ++i) {
        divergence += p[i] * std::log(p[i] / q[i]);
      }
      divergences.push_back(divergence);
    }
  }
  double sum = 0;
  for (double divergence : divergences) sum += divergence;
  std::sort(divergences.begin(), divergences.end());

  ThreadPool pool(2);
  const Quality quality = MeasureQuality(
      *Load(first), *Load(second), SomeDocuments(), {.greedy_tokens = 0}, pool);
  const auto num = static_cast<double>(divergences.size());
  EXPECT_EQ(quality.num_tokens, num);
  EXPECT_EQ(quality.num_bytes, bytes);
  EXPECT_NEAR(quality.bits_per_byte, bits / bytes, 1e-5);
  EXPECT_NEAR(quality.reference_bits_per_byte, reference_bits / bytes, 1e-5);
  EXPECT_NEAR(quality.mean_kl, sum / num, 1e-5);
  EXPECT_NEAR(quality.kl_999, divergences[divergences.size() - 2], 1e-5);
  EXPECT_EQ(quality.num_greedy_tokens, 0);
}

TEST(MeasurementTest, ModelAgreesWithItself) {
  const auto model = Load(testing::RandomRwkv4(kSizes, 1));
  ThreadPool pool(2);
  const Quality quality =
      MeasureQuality(*model, *model, SomeDocuments(), {}, pool);
  EXPECT_EQ(quality.mean_kl, 0);
  EXPECT_EQ(quality.kl_999, 0);
  EXPECT_EQ(quality.bits_per_byte, quality.reference_bits_per_byte);
  EXPECT_EQ(quality.num_greedy_tokens, 3 * 256);
  EXPECT_EQ(quality.greedy_agreement, 1);
  EXPECT_EQ(quality.greedy_prefix, 256);
}

// A model that always predicts the same token, whatever it reads.
TEST(MeasurementTest, ConstantModelsAgreeOnlyIfTheirTokenIsTheSame) {
  TestTensors constant = testing::RandomRwkv4(kSizes, 1);
  for (float& value : constant["ln_out.weight"].values) value = 0;
  for (float& value : constant["ln_out.bias"].values) value = 1;
  for (float& value : constant["head.weight"].values) value = 0;
  TestTensors says_3 = constant, says_4 = constant;
  for (int64_t i = 0; i < 16; ++i) {
    says_3["head.weight"].values[3 * 16 + i] = 1;
    says_4["head.weight"].values[4 * 16 + i] = 1;
  }
  ThreadPool pool(1);
  const Quality same =
      MeasureQuality(*Load(says_3), *Load(says_3), SomeDocuments(), {}, pool);
  EXPECT_EQ(same.greedy_agreement, 1);
  const Quality other =
      MeasureQuality(*Load(says_3), *Load(says_4), SomeDocuments(), {}, pool);
  EXPECT_EQ(other.greedy_agreement, 0);
  EXPECT_EQ(other.greedy_prefix, 0);
}

}  // namespace
}  // namespace rwkvd
