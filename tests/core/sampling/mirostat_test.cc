// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/mirostat.h"

#include <cmath>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/sampling/rows.h"

namespace rwkvd {
namespace {

using testing::LogitsOf;

std::vector<TokenLogprob> ZipfLogprobs(double s, int n) {
  std::vector<TokenLogprob> logprobs;
  for (int i = 1; i <= n; ++i) logprobs.push_back({i, -s * std::log(i) - 3});
  return logprobs;
}

TEST(ZipfExponentTest, ExactZipfLawReturnsItsExponent) {
  for (const double s : {0.5, 1.0, 1.3, 2.0}) {
    EXPECT_NEAR(ZipfExponent(ZipfLogprobs(s, 100)), s, 1e-12);
  }
  EXPECT_EQ(ZipfExponent(ZipfLogprobs(2, 1)), 1);
}

// Log-probabilities 0, -1, -1.5 give b = 1, 0.5 and t = ln 2, ln 1.5:
// (0.6931 + 0.2027) / (0.4805 + 0.1644) = 1.3892.
TEST(ZipfExponentTest, OtherProbabilitiesReturnLeastSquaresFit) {
  const std::vector<TokenLogprob> logprobs = {{0, 0}, {1, -1}, {2, -1.5}};
  EXPECT_NEAR(ZipfExponent(logprobs), 1.38918, 1e-4);
}

// s = 2, mu = 10, n = 1000: (1 * 1024 / (1 - 0.001))^(1/2) = 32.016.
TEST(NumForSurpriseTest, MatchesFormula) {
  EXPECT_EQ(NumForSurprise(2, 10, 1000), 32);
  // s = 1: 2^5 / ln 1000 = 4.632.
  EXPECT_EQ(NumForSurprise(1, 5, 1000), 5);
  // s = 0.5: (-0.5 * 4 / (1 - 10))^2 = 0.049; at least one token.
  EXPECT_EQ(NumForSurprise(0.5, 2, 100), 1);
  EXPECT_EQ(NumForSurprise(1.2, 100, 50), 50);
  EXPECT_EQ(NumForSurprise(0, 3, 50), 1);
  EXPECT_EQ(NumForSurprise(2, 10, 1), 1);
}

TEST(MirostatTest, Version2RemovesTokensMoreSurprisingThanMu) {
  // The surprises are 3, 1, 2 and 3 bits; mu is 2 tau.
  const std::vector<float> logits = LogitsOf({0.125, 0.5, 0.25, 0.125});
  Distribution distribution;
  for (const auto& [tau, left] : {std::pair(0.6f, std::vector<int32_t>{1}),
                                  {1.1f, {1, 2}},
                                  {1.6f, {0, 1, 2, 3}},
                                  {0.1f, {1}}}) {
    Mirostat mirostat({.version = 2, .tau = tau});
    distribution.Reset(logits, 1);
    mirostat.Truncate(&distribution);
    EXPECT_EQ(testing::IdsOf(&distribution), left) << tau;
  }
}

TEST(MirostatTest, Version1KeepsNumForSurpriseTokens) {
  std::vector<float> logits;  // s = 2
  for (int i = 1; i <= 1000; ++i) logits.push_back(-2 * std::log(i));
  Mirostat mirostat({.version = 1, .tau = 5});
  Distribution distribution;
  distribution.Reset(logits, 1);
  mirostat.Truncate(&distribution);
  EXPECT_EQ(testing::IdsOf(&distribution).size(), 32);
}

TEST(MirostatTest, UpdateUsesSurpriseBeforeTruncation) {
  const std::vector<float> logits = LogitsOf({0.125, 0.5, 0.25, 0.125});
  Mirostat mirostat({.version = 2, .tau = 1.1f, .eta = 0.5f});
  EXPECT_NEAR(mirostat.mu(), 2.2, 1e-6);
  Distribution distribution;
  distribution.Reset(logits, 1);
  mirostat.Truncate(&distribution);
  mirostat.Update(2, &distribution);  // 2 bits
  EXPECT_NEAR(mirostat.mu(), 2.2 - 0.5 * (2 - 1.1), 1e-6);
  mirostat.Update(1, &distribution);  // 1 bit
  EXPECT_NEAR(mirostat.mu(), 1.75 - 0.5 * (1 - 1.1), 1e-6);
}

// The purpose of Mirostat.
TEST(MirostatTest, MeanSurpriseConvergesToTau) {
  std::vector<float> logits;  // the likeliest token has a surprise of 2.7 bits
  for (int i = 1; i <= 5000; ++i) logits.push_back(-1.1f * std::log(i));
  for (const int version : {1, 2}) {
    for (const float tau : {3.5f, 5.0f}) {
      Mirostat mirostat({.version = version, .tau = tau});
      std::mt19937_64 random(11);
      Distribution distribution;
      double sum = 0;
      constexpr int kNumSamples = 20000;
      for (int i = 0; i < kNumSamples; ++i) {
        distribution.Reset(logits, 1);
        mirostat.Truncate(&distribution);
        const int32_t id =
            distribution.TokenAt(static_cast<double>(random() >> 11) * 0x1p-53);
        const double mu = mirostat.mu();
        mirostat.Update(id, &distribution);
        sum += (mu - mirostat.mu()) / 0.1f + tau;
      }
      // The sum is n tau, except for (mu_0 - mu_end) / eta.
      EXPECT_NEAR(sum / kNumSamples, tau, 0.02) << version << " " << tau;
    }
  }
}

}  // namespace
}  // namespace rwkvd
