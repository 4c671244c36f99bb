// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference_rwkv7.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

namespace rwkvd::testing {
namespace {

// e^-0.5 in the paper. The released code rounds it, which changes a logit by
// one millionth.
constexpr double kDecayScale = 0.606531;

class Goose {
 public:
  Goose(const TestTensors& tensors, const ReferenceOptions& options)
      : weights_(tensors), options_(options) {}

  // Must be called for the layers in order: keeps the values of the first
  // layer.
  MatrixD MixTime(int64_t layer, const MatrixD& x) {
    const std::string att = absl::StrCat("blocks.", layer, ".att.");
    const MatrixD xv = Mix(x, att + "x_v");
    const MatrixD r = Project(Mix(x, att + "x_r"), att + "receptance");
    const MatrixD key = Project(Mix(x, att + "x_k"), att + "key");
    const MatrixD value = Project(xv, att + "value");
    // The decay, e^-(e^-0.5 sigmoid(d)); the in-context learning rate; the
    // gate.
    const MatrixD d = Lora(Mix(x, att + "x_w"), att + "w", Tanh);
    const MatrixD w = (-kDecayScale * Sigmoid(d).array()).exp();
    const MatrixD a = Sigmoid(Lora(Mix(x, att + "x_a"), att + "a", Identity));
    const MatrixD g = Lora(Mix(x, att + "x_g"), att + "g", Sigmoid);
    // The key that is removed from the state, and the key that replaces it.
    const MatrixD removal = Scaled(key, weights_.Row(att + "k_k"));
    const MatrixD k =
        key + Scaled(key.cwiseProduct(a) - key, weights_.Row(att + "k_a"));
    if (layer == 0) first_value_ = value;
    MatrixD v = value;
    if (layer > 0) {
      const MatrixD share = Sigmoid(Lora(xv, att + "v", Identity));
      v += (first_value_ - value).cwiseProduct(share);
    }
    const MatrixD bonus = weights_.Matrix(att + "r_k");
    const int64_t heads = bonus.rows(), size = x.cols() / heads;
    MatrixD y(x.rows(), x.cols()), bonuses(x.rows(), x.cols());
    for (int64_t h = 0; h < heads; ++h) {
      const MatrixD rh = HeadColumns(r, h, size), kh = HeadColumns(k, h, size),
                    vh = HeadColumns(v, h, size);
      y.middleCols(h * size, size) = DeltaRule(
          rh, HeadColumns(w, h, size), kh, vh, HeadColumns(a, h, size),
          UnitRows(HeadColumns(removal, h, size)),
          InitialState(weights_, options_, layer, h, size, true));
      for (int64_t t = 0; t < x.rows(); ++t) {
        const RowD rk = rh.row(t).cwiseProduct(kh.row(t));
        bonuses.row(t).segment(h * size, size) =
            rk.dot(bonus.row(h)) * vh.row(t);
      }
    }
    y = GroupNorm(weights_, att + "ln_x", heads, options_.group_norm_epsilon,
                  y);
    return Project((y + bonuses).cwiseProduct(g), att + "output");
  }

  MatrixD MixChannels(int64_t layer, const MatrixD& x) const {
    const std::string ffn = absl::StrCat("blocks.", layer, ".ffn.");
    const MatrixD k = Project(Mix(x, ffn + "x_k"), ffn + "key");
    return Project(k.array().max(0.0).square(), ffn + "value");
  }

  const Weights& weights() const { return weights_; }

 private:
  // lerp: x_t + (x_{t-1} - x_t) * mu
  MatrixD Mix(const MatrixD& x, const std::string& name) const {
    return x + Scaled(Previous(x) - x, weights_.Row(name));
  }

  MatrixD Project(const MatrixD& x, const std::string& name) const {
    return x * weights_.Matrix(name + ".weight").transpose();
  }

  static MatrixD Identity(const MatrixD& x) { return x; }

  // loramlp: f(x A) B + lambda, if there is a lambda
  MatrixD Lora(const MatrixD& x, const std::string& name,
               MatrixD (*f)(const MatrixD&)) const {
    const MatrixD y =
        f(x * weights_.Matrix(name + "1")) * weights_.Matrix(name + "2");
    return weights_.Has(name + "0") ? Shifted(y, weights_.Row(name + "0")) : y;
  }

  static MatrixD UnitRows(MatrixD x) {
    for (int64_t t = 0; t < x.rows(); ++t) {
      x.row(t) /= std::max(x.row(t).norm(), 1e-12);
    }
    return x;
  }

  // wkv_t = wkv_{t-1} (diag(w_t) - removal_t^T (a_t * removal_t)) + v_t^T k_t
  // and y_t = wkv_t r_t: wkv is [head_size (values)][head_size (keys)].
  static MatrixD DeltaRule(const MatrixD& r, const MatrixD& w, const MatrixD& k,
                           const MatrixD& v, const MatrixD& a,
                           const MatrixD& removal, const MatrixD& state) {
    MatrixD wkv = state.transpose();
    MatrixD y(r.rows(), r.cols());
    for (int64_t t = 0; t < r.rows(); ++t) {
      MatrixD transition = w.row(t).asDiagonal();
      transition -=
          removal.row(t).transpose() * a.row(t).cwiseProduct(removal.row(t));
      wkv = (wkv * transition).eval();
      wkv += v.row(t).transpose() * k.row(t);
      y.row(t) = wkv * r.row(t).transpose();
    }
    return y;
  }

  const Weights weights_;
  const ReferenceOptions& options_;
  MatrixD first_value_;
};

}  // namespace

Logits ReferenceRwkv7(const TestTensors& tensors,
                      absl::Span<const int32_t> tokens,
                      const ReferenceOptions& options) {
  Goose goose(tensors, options);
  return RunModel(
      goose.weights(), tokens,
      [&](int64_t i, const MatrixD& x) { return goose.MixTime(i, x); },
      [&](int64_t i, const MatrixD& x) { return goose.MixChannels(i, x); });
}

}  // namespace rwkvd::testing
