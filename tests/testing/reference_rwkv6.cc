// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference_rwkv6.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/reference_linear_attention.h"

namespace rwkvd::testing {
namespace {

class Finch {
 public:
  Finch(const TestTensors& tensors, const ReferenceOptions& options)
      : weights_(tensors), options_(options) {}

  MatrixD MixTime(int64_t layer, const MatrixD& x) const {
    const std::string att = absl::StrCat("blocks.", layer, ".att.");
    const MatrixD w = Decay(DynamicMix(x, att, 0, "w"), att);
    const MatrixD k = Project(DynamicMix(x, att, 1, "k"), att + "key");
    const MatrixD v = Project(DynamicMix(x, att, 2, "v"), att + "value");
    const MatrixD r = Project(DynamicMix(x, att, 3, "r"), att + "receptance");
    const MatrixD g = Project(DynamicMix(x, att, 4, "g"), att + "gate");
    const RowD u = weights_.Row(att + "time_faaaa");
    const int64_t heads = weights_.Rows(att + "time_faaaa");
    const int64_t size = x.cols() / heads;
    MatrixD y(x.rows(), x.cols());
    for (int64_t h = 0; h < heads; ++h) {
      y.middleCols(h * size, size) = ReferenceLinearAttention(
          HeadColumns(r, h, size), HeadColumns(k, h, size),
          HeadColumns(v, h, size), HeadColumns(w, h, size),
          HeadColumns(u, h, size),
          InitialState(weights_, options_, layer, h, size, false));
    }
    y = GroupNorm(weights_, att + "ln_x", heads, options_.group_norm_epsilon,
                  y);
    return Project(y.cwiseProduct(Silu(g)), att + "output");
  }

  MatrixD MixChannels(int64_t layer, const MatrixD& x) const {
    const std::string ffn = absl::StrCat("blocks.", layer, ".ffn.");
    const MatrixD r = Project(Mix(x, ffn + "time_maa_r"), ffn + "receptance");
    const MatrixD k = Project(Mix(x, ffn + "time_maa_k"), ffn + "key");
    const MatrixD v = Project(k.array().max(0.0).square(), ffn + "value");
    return Sigmoid(r).cwiseProduct(v);
  }

  const Weights& weights() const { return weights_; }

 private:
  // lerp: x_t + (x_{t-1} - x_t) * mu
  MatrixD Mix(const MatrixD& x, const std::string& name) const {
    return x + Scaled(Previous(x) - x, weights_.Row(name));
  }

  // ddlerp: like lerp, with mu + tanh(lerp_x(x) A) B in place of mu, which
  // depends on the token. A is a fifth of the columns of time_maa_w1.
  MatrixD DynamicMix(const MatrixD& x, const std::string& att, int64_t which,
                     const std::string& part) const {
    const MatrixD all = weights_.Matrix(att + "time_maa_w1");
    const int64_t rank = all.cols() / 5;
    const MatrixD a = all.middleCols(which * rank, rank);
    const MatrixD b = weights_.Matrix(att + "time_maa_w2", which);
    const MatrixD delta = Tanh(Mix(x, att + "time_maa_x") * a) * b;
    const MatrixD mu = Shifted(delta, weights_.Row(att + "time_maa_" + part));
    return x + (Previous(x) - x).cwiseProduct(mu);
  }

  // e^-e^(lambda + tanh(x A) B)
  MatrixD Decay(const MatrixD& x, const std::string& att) const {
    const MatrixD lora = Tanh(x * weights_.Matrix(att + "time_decay_w1")) *
                         weights_.Matrix(att + "time_decay_w2");
    const MatrixD d = Shifted(lora, weights_.Row(att + "time_decay"));
    return (-d.array().exp()).exp();
  }

  MatrixD Project(const MatrixD& x, const std::string& name) const {
    return x * weights_.Matrix(name + ".weight").transpose();
  }

  const Weights weights_;
  const ReferenceOptions& options_;
};

}  // namespace

Logits ReferenceRwkv6(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options) {
  const Finch finch(tensors, options);
  return RunModel(
      finch.weights(), tokens,
      [&](int64_t i, const MatrixD& x) { return finch.MixTime(i, x); },
      [&](int64_t i, const MatrixD& x) { return finch.MixChannels(i, x); });
}

}  // namespace rwkvd::testing
