// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference_rwkv5.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/reference_linear_attention.h"

namespace rwkvd::testing {
namespace {

class Eagle {
 public:
  Eagle(const TestTensors& tensors, const ReferenceOptions& options)
      : weights_(tensors), options_(options) {}

  MatrixD MixTime(int64_t layer, const MatrixD& x) const {
    const std::string att = absl::StrCat("blocks.", layer, ".att.");
    const MatrixD r = Project(Mix(x, att + "time_mix_r"), att + "receptance");
    const MatrixD k = Project(Mix(x, att + "time_mix_k"), att + "key");
    const MatrixD v = Project(Mix(x, att + "time_mix_v"), att + "value");
    const int64_t heads = weights_.Rows(att + "time_decay");
    const int64_t size = x.cols() / heads;
    const RowD w = PerChannel(Decay(att), heads, size);
    const RowD u = PerChannel(Bonus(att), heads, size);
    MatrixD y(x.rows(), x.cols());
    for (int64_t h = 0; h < heads; ++h) {
      y.middleCols(h * size, size) = ReferenceLinearAttention(
          HeadColumns(r, h, size), HeadColumns(k, h, size),
          HeadColumns(v, h, size),
          HeadColumns(w, h, size).replicate(x.rows(), 1),
          HeadColumns(u, h, size),
          InitialState(weights_, options_, layer, h, size, false));
    }
    y = GroupNorm(weights_, att + "ln_x", heads, options_.group_norm_epsilon,
                  y);
    if (weights_.Has(att + "gate.weight")) {
      const MatrixD g = Project(Mix(x, att + "time_mix_g"), att + "gate");
      y = y.cwiseProduct(Silu(g));
    }
    return Project(y, att + "output");
  }

  MatrixD MixChannels(int64_t layer, const MatrixD& x) const {
    const std::string ffn = absl::StrCat("blocks.", layer, ".ffn.");
    const MatrixD r = Project(Mix(x, ffn + "time_mix_r"), ffn + "receptance");
    const MatrixD k = Project(Mix(x, ffn + "time_mix_k"), ffn + "key");
    const MatrixD v = Project(k.array().max(0.0).square(), ffn + "value");
    return Sigmoid(r).cwiseProduct(v);
  }

  const Weights& weights() const { return weights_; }

 private:
  // mu * x_t + (1 - mu) * x_{t-1}
  MatrixD Mix(const MatrixD& x, const std::string& name) const {
    const RowD mu = weights_.Row(name);
    const RowD rest = 1.0 - mu.array();
    return Scaled(x, mu) + Scaled(Previous(x), rest);
  }

  MatrixD Project(const MatrixD& x, const std::string& name) const {
    return x * weights_.Matrix(name + ".weight").transpose();
  }

  // e^-e^x
  RowD Decay(const std::string& att) const {
    const RowD rate = weights_.Row(att + "time_decay").array().exp();
    return (-rate.array()).exp();
  }

  RowD Bonus(const std::string& att) const {
    if (weights_.Has(att + "time_faaaa")) {
      return weights_.Row(att + "time_faaaa");
    }
    return weights_.Row(att + "time_first").array().exp();
  }

  // One value for each head or for each channel.
  static RowD PerChannel(const RowD& x, int64_t heads, int64_t size) {
    RowD y(heads * size);
    for (int64_t c = 0; c < y.size(); ++c) {
      y(c) = x.size() == heads ? x(c / size) : x(c);
    }
    return y;
  }

  const Weights weights_;
  const ReferenceOptions& options_;
};

}  // namespace

Logits ReferenceRwkv5(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options) {
  const Eagle eagle(tensors, options);
  return RunModel(
      eagle.weights(), tokens,
      [&](int64_t i, const MatrixD& x) { return eagle.MixTime(i, x); },
      [&](int64_t i, const MatrixD& x) { return eagle.MixChannels(i, x); });
}

}  // namespace rwkvd::testing
