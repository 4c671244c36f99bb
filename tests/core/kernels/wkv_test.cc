// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/kernels/kernels_fixture.h"

namespace rwkvd {
namespace {

class WkvTest : public KernelsTest {
 protected:
  Floats Uniform(size_t n) {
    std::uniform_real_distribution<float> uniform(0, 1);
    Floats values(n);
    for (float& value : values) value = uniform(random_);
    return values;
  }
};

// Compares with the weighted mean of the paper, from sums that are not
// rescaled.
TEST_P(WkvTest, Wkv4IsTheWeightedMeanOfThePaper) {
  constexpr int kTokens = 20;
  for (size_t n : kSizes) {
    Floats decay = Normal(n, -2, 2);
    for (float& d : decay) d = -std::exp(d);
    const Floats bonus = Normal(n, -1, 1);
    Floats aa(n, 0), bb(n, 0), pp(n, -1e30f), out(n);
    std::vector<double> sum(n, 0), weights(n, 0);
    for (int t = 0; t < kTokens; ++t) {
      const Floats k = Normal(n, 0, 3), v = Normal(n), r = Normal(n, 0, 2);
      kernels().wkv4({.k = k.data(),
                      .v = v.data(),
                      .r = r.data(),
                      .decay = decay.data(),
                      .bonus = bonus.data(),
                      .aa = aa.data(),
                      .bb = bb.data(),
                      .pp = pp.data(),
                      .out = out.data()},
                     n);
      for (size_t i = 0; i < n; ++i) {
        const double now = std::exp(double{bonus[i]} + k[i]);
        const double mean = (sum[i] + now * v[i]) / (weights[i] + now);
        // The mean of values below 5, with exponents of magnitude below 16.
        EXPECT_NEAR(out[i], Sigmoid(r[i]) * mean, 64 * 5 * kRounding * (t + 1))
            << n << " " << i << " " << t;
        sum[i] =
            sum[i] * std::exp(double{decay[i]}) + std::exp(double{k[i]}) * v[i];
        weights[i] =
            weights[i] * std::exp(double{decay[i]}) + std::exp(double{k[i]});
      }
    }
  }
}

// e^k overflows for keys this large; the recurrence must not.
TEST_P(WkvTest, Wkv4DoesNotOverflowForHugeKeys) {
  constexpr size_t kN = 3;
  const Floats decay(kN, -1), bonus(kN, 0), v = {1, 2, 3}, r(kN, 100);
  Floats aa(kN, 0), bb(kN, 0), pp(kN, -1e30f), out(kN);
  for (const Floats& k : {Floats{200, -200, 1e4f}, Floats{-200, 200, -1e4f},
                          Floats{500, 500, 500}}) {
    kernels().wkv4({k.data(), v.data(), r.data(), decay.data(), bonus.data(),
                    aa.data(), bb.data(), pp.data(), out.data()},
                   kN);
    // The mean of equal values is that value.
    for (size_t i = 0; i < kN; ++i) EXPECT_FLOAT_EQ(out[i], v[i]) << k[i];
  }
}

constexpr int kTokens = 12;

// A head's matrix, [key][value].
using Head = std::vector<std::vector<double>>;

TEST_P(WkvTest, Wkv6FollowsThePapersEquations) {
  for (size_t n : kSizes) {
    const Floats bonus = Normal(n);
    Floats state(n * n, 0), out(n);
    Head s(n, std::vector<double>(n, 0));
    for (int t = 0; t < kTokens; ++t) {
      const Floats r = Normal(n), k = Normal(n), v = Normal(n), w = Uniform(n);
      kernels().wkv6({.r = r.data(),
                      .k = k.data(),
                      .v = v.data(),
                      .decay = w.data(),
                      .bonus = bonus.data(),
                      .state = state.data(),
                      .out = out.data()},
                     n);
      for (size_t j = 0; j < n; ++j) {
        double sum = 0, size = 0;
        for (size_t i = 0; i < n; ++i) {
          const double kv = double{k[i]} * v[j];
          const double term = r[i] * (bonus[i] * kv + s[i][j]);
          sum += term;
          size += std::abs(r[i]) *
                  (std::abs(bonus[i] * kv) + std::abs(s[i][j]) + kTokens);
          s[i][j] = w[i] * s[i][j] + kv;
        }
        ASSERT_NEAR(out[j], sum, (n + kTokens) * kRounding * size)
            << n << " token " << t;
      }
    }
    for (size_t i = 0; i < n * n; ++i) {
      ASSERT_NEAR(state[i], s[i / n][i % n], 256 * kRounding);
    }
  }
}

TEST_P(WkvTest, Wkv7FollowsThePapersEquations) {
  for (size_t n : kSizes) {
    Floats state(n * n, 0), out(n);
    Head s(n, std::vector<double>(n, 0));
    for (int t = 0; t < kTokens; ++t) {
      const Floats r = Normal(n), k = Normal(n), v = Normal(n);
      const Floats w = Uniform(n), a = Uniform(n);
      Floats kk = Normal(n);
      kernels().normalize(n, kk.data());
      kernels().wkv7({.r = r.data(),
                      .k = k.data(),
                      .v = v.data(),
                      .decay = w.data(),
                      .kk = kk.data(),
                      .a = a.data(),
                      .state = state.data(),
                      .out = out.data()},
                     n);
      for (size_t j = 0; j < n; ++j) {
        double removed = 0, sum = 0, size = 0;
        for (size_t i = 0; i < n; ++i) removed += kk[i] * s[i][j];
        for (size_t i = 0; i < n; ++i) {
          s[i][j] = w[i] * s[i][j] - removed * (double{kk[i]} * a[i]) +
                    double{k[i]} * v[j];
          sum += r[i] * s[i][j];
          size += std::abs(r[i]) * (std::abs(s[i][j]) + kTokens);
        }
        ASSERT_NEAR(out[j], sum, 2 * (n + kTokens) * kRounding * size)
            << n << " token " << t;
      }
    }
  }
}

// Nothing is written past the end of a head's arrays.
TEST_P(WkvTest, HeadsOfAnySizeWriteOnlyTheirOwnArrays) {
  for (size_t n : kSizes) {
    const Floats x = Uniform(n);
    Floats state(n * n + 16, 7), out(n + 16, 7);
    kernels().wkv6({x.data(), x.data(), x.data(), x.data(), x.data(),
                    state.data(), out.data()},
                   n);
    kernels().wkv7({x.data(), x.data(), x.data(), x.data(), x.data(), x.data(),
                    state.data(), out.data()},
                   n);
    EXPECT_EQ(Floats(state.begin() + n * n, state.end()), Floats(16, 7));
    EXPECT_EQ(Floats(out.begin() + n, out.end()), Floats(16, 7));
  }
}

RWKVD_TEST_ALL_KERNELS(WkvTest);

}  // namespace
}  // namespace rwkvd
