// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/kernels/kernels_fixture.h"

namespace rwkvd {
namespace {

class ElementwiseTest : public KernelsTest {};

TEST_P(ElementwiseTest, LayerNormFollowsItsFormula) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n, 3, 2), weight = Normal(n), bias = Normal(n);
    Floats y(n);
    kernels().layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, n,
                         y.data());
    double mean = 0, variance = 0;
    for (float value : x) mean += value / double(n);
    for (float value : x) variance += (value - mean) * (value - mean) / n;
    for (size_t i = 0; i < n; ++i) {
      const double expected =
          (x[i] - mean) / std::sqrt(variance + double{1e-5f}) * weight[i] +
          bias[i];
      // The mean is off by n roundings of its terms, and the variance of a
      // single value, by which it is divided, is nearly zero.
      const double bound = (n + 8) * kRounding * 8 * std::abs(weight[i]) /
                               std::sqrt(variance + 1e-5) +
                           4 * kRounding * (std::abs(expected) + 1);
      EXPECT_NEAR(y[i], expected, bound) << n << " " << i;
    }
  }
}

TEST_P(ElementwiseTest, TokenShiftMixesTwoTokens) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n), previous = Normal(n), mix = Normal(n, .5f, .3f);
    Floats y(n);
    kernels().token_shift(x.data(), previous.data(), mix.data(), n, y.data());
    for (size_t i = 0; i < n; ++i) {
      const double a = double{x[i]} * mix[i];
      const double b = double{previous[i]} * (1 - double{mix[i]});
      EXPECT_NEAR(
          y[i], a + b,
          4 * kRounding * (std::abs(a) + std::abs(b) + std::abs(previous[i])));
    }
  }
}

TEST_P(ElementwiseTest, ElementwiseKernelsFollowTheirFormulas) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n), y = Normal(n), gate = Normal(n, 0, 30);
    Floats squared = x, added = x, gated = x;
    kernels().squared_relu(n, squared.data());
    kernels().add(y.data(), n, added.data());
    kernels().add_gated(gate.data(), y.data(), n, gated.data());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(squared[i], x[i] > 0 ? x[i] * x[i] : 0);
      EXPECT_EQ(added[i], x[i] + y[i]);
      EXPECT_NEAR(gated[i], x[i] + Sigmoid(gate[i]) * y[i],
                  8 * kRounding * (std::abs(x[i]) + std::abs(y[i])));
    }
  }
}

TEST_P(ElementwiseTest, AddMulSubAndLerpFollowTheirFormulas) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n), y = Normal(n), z = Normal(n);
    Floats product = x, difference(n), sum(n), mixed = x;
    kernels().mul(y.data(), n, product.data());
    kernels().sub(x.data(), y.data(), n, difference.data());
    kernels().mul_add(x.data(), y.data(), z.data(), n, sum.data());
    kernels().lerp(y.data(), z.data(), n, mixed.data());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(product[i], x[i] * y[i]);
      EXPECT_EQ(difference[i], x[i] - y[i]);
      const double change = double{y[i]} * z[i];
      EXPECT_NEAR(sum[i], x[i] + change,
                  2 * kRounding * (std::abs(x[i]) + std::abs(change)));
      const double step = (double{y[i]} - x[i]) * z[i];
      EXPECT_NEAR(mixed[i], x[i] + step,
                  4 * kRounding * (std::abs(x[i]) + std::abs(step)));
    }
  }
}

TEST_P(ElementwiseTest, NonlinearitiesFollowTheirFormulas) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n, 0, 3), y = Normal(n);
    Floats sigmoid = x, tanh = x, decay6 = x, decay7 = x, gated = y;
    kernels().sigmoid(n, sigmoid.data());
    kernels().tanh(n, tanh.data());
    kernels().decay6(n, decay6.data());
    kernels().decay7(n, decay7.data());
    kernels().mul_silu(x.data(), n, gated.data());
    for (size_t i = 0; i < n; ++i) {
      const double s = Sigmoid(x[i]);
      EXPECT_NEAR(sigmoid[i], s, 8 * kRounding);
      EXPECT_NEAR(tanh[i], std::tanh(double{x[i]}), 8 * kRounding);
      // The outer exponential multiplies an error of the inner one by its
      // value.
      EXPECT_NEAR(decay6[i], std::exp(-std::exp(double{x[i]})), 16 * kRounding);
      EXPECT_NEAR(decay7[i], std::exp(-std::exp(-0.5) * s), 8 * kRounding);
      EXPECT_NEAR(gated[i], y[i] * x[i] * s,
                  16 * kRounding * std::abs(y[i] * x[i]));
    }
  }
}

TEST_P(ElementwiseTest, NonlinearitiesHoldForExtremeInputs) {
  const Floats ends = {-1e30f, -200, -90, 90, 200, 1e30f};
  Floats sigmoid = ends, tanh = ends, decay6 = ends, decay7 = ends;
  kernels().sigmoid(ends.size(), sigmoid.data());
  kernels().tanh(ends.size(), tanh.data());
  kernels().decay6(ends.size(), decay6.data());
  kernels().decay7(ends.size(), decay7.data());
  for (size_t i = 0; i < ends.size(); ++i) {
    const bool low = ends[i] < 0;
    EXPECT_NEAR(sigmoid[i], low ? 0 : 1, 1e-30) << ends[i];
    EXPECT_EQ(tanh[i], low ? -1 : 1) << ends[i];
    EXPECT_EQ(decay6[i], low ? 1 : 0) << ends[i];
    EXPECT_NEAR(decay7[i], low ? 1 : std::exp(-std::exp(-0.5)), 1e-7);
  }
}

// A damaged weight must reach the logits, where it is noticed.
TEST_P(ElementwiseTest, NonlinearitiesKeepNaN) {
  for (size_t n : kSizes) {
    const size_t at = n / 2;
    Floats x = Normal(n), gated = Normal(n), added = Normal(n);
    const Floats y = Normal(n);
    x[at] = NAN;
    Floats squared = x, sigmoid = x, tanh = x, decay6 = x, decay7 = x;
    kernels().squared_relu(n, squared.data());
    kernels().sigmoid(n, sigmoid.data());
    kernels().tanh(n, tanh.data());
    kernels().decay6(n, decay6.data());
    kernels().decay7(n, decay7.data());
    kernels().mul_silu(x.data(), n, gated.data());
    kernels().add_gated(x.data(), y.data(), n, added.data());
    for (const Floats* result :
         {&squared, &sigmoid, &tanh, &decay6, &decay7, &gated, &added}) {
      for (size_t i = 0; i < n; ++i) {
        EXPECT_EQ(std::isnan((*result)[i]), i == at) << n << " " << i;
      }
    }
  }
}

TEST_P(ElementwiseTest, NormalizeGivesLengthOne) {
  for (size_t n : kSizes) {
    const Floats x = Normal(n, 0, 5);
    double squares = 0;
    for (float value : x) squares += double{value} * value;
    Floats y = x, zero(n, 0);
    kernels().normalize(n, y.data());
    kernels().normalize(n, zero.data());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(y[i], x[i] / std::sqrt(squares), (n + 4) * kRounding);
    }
    EXPECT_EQ(zero, Floats(n, 0)) << "not a number";
  }
}

TEST_P(ElementwiseTest, Rwkv7KeyAndBonusFollowTheirFormulas) {
  for (size_t n : kSizes) {
    const Floats r = Normal(n), k = Normal(n), v = Normal(n), x = Normal(n);
    const Floats weight = Normal(n), a = Normal(n, .5f, .2f);
    Floats key = k, out = x;
    kernels().scale_key(a.data(), weight.data(), n, key.data());
    kernels().add_bonus(r.data(), k.data(), weight.data(), v.data(), n,
                        out.data());
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
      sum += double{r[i]} * k[i] * weight[i];
      size += std::abs(double{r[i]} * k[i] * weight[i]);
    }
    for (size_t i = 0; i < n; ++i) {
      const double factor = 1 + (double{a[i]} - 1) * weight[i];
      EXPECT_NEAR(key[i], k[i] * factor,
                  8 * kRounding * std::abs(k[i]) * (1 + std::abs(weight[i])));
      EXPECT_NEAR(
          out[i], x[i] + sum * v[i],
          (n + 4) * kRounding * (size * std::abs(v[i]) + std::abs(x[i])));
    }
  }
}

RWKVD_TEST_ALL_KERNELS(ElementwiseTest);

}  // namespace
}  // namespace rwkvd
