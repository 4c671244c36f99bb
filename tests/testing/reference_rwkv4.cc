// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference_rwkv4.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

namespace rwkvd::testing {
namespace {

// The activations of a text: one row for each token.
using MatrixD =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowD = Eigen::RowVectorXd;

class Rwkv4Reference {
 public:
  explicit Rwkv4Reference(const TestTensors& tensors) : tensors_(tensors) {}

  MatrixD Logits(absl::Span<const int32_t> tokens) const {
    const MatrixD embedding = Matrix("emb.weight");
    MatrixD x(tokens.size(), embedding.cols());
    for (size_t t = 0; t < tokens.size(); ++t)
      x.row(t) = embedding.row(tokens[t]);
    x = Norm(x, "blocks.0.ln0");
    for (int i = 0; Has(absl::StrCat("blocks.", i, ".ln1.weight")); ++i) {
      const std::string block = absl::StrCat("blocks.", i, ".");
      x += TimeMixing(Norm(x, block + "ln1"), block + "att.");
      x += ChannelMixing(Norm(x, block + "ln2"), block + "ffn.");
    }
    return Norm(x, "ln_out") * Matrix("head.weight").transpose();
  }

 private:
  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }

  RowD Row(const std::string& name) const {
    const std::vector<float>& values = tensors_.at(name).values;
    return Eigen::Map<const Eigen::RowVectorXf>(values.data(), values.size())
        .cast<double>();
  }

  MatrixD Matrix(const std::string& name) const {
    const TestTensor& tensor = tensors_.at(name);
    MatrixD m(tensor.shape[0], tensor.shape[1]);
    for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = tensor.values[i];
    return m;
  }

  MatrixD Norm(const MatrixD& x, const std::string& name) const {
    MatrixD y = x;
    for (int64_t t = 0; t < x.rows(); ++t) {
      const RowD centered = x.row(t).array() - x.row(t).mean();
      const double variance = centered.squaredNorm() / x.cols();
      y.row(t) = (centered / std::sqrt(variance + 1e-5))
                     .cwiseProduct(Row(name + ".weight")) +
                 Row(name + ".bias");
    }
    return y;
  }

  // mu * x_t + (1 - mu) * x_{t-1}, where x_{-1} is zero.
  MatrixD Mix(const MatrixD& x, const std::string& name) const {
    const RowD mu = Row(name);
    MatrixD y = MatrixD::Zero(x.rows(), x.cols());
    for (int64_t t = 0; t < x.rows(); ++t) {
      y.row(t) = x.row(t).cwiseProduct(mu);
      if (t > 0) y.row(t) += x.row(t - 1) - x.row(t - 1).cwiseProduct(mu);
    }
    return y;
  }

  static MatrixD Sigmoid(const MatrixD& x) {
    return (1.0 / (1.0 + (-x.array()).exp())).matrix();
  }

  MatrixD TimeMixing(const MatrixD& x, const std::string& att) const {
    const MatrixD k =
        Mix(x, att + "time_mix_k") * Matrix(att + "key.weight").transpose();
    const MatrixD v =
        Mix(x, att + "time_mix_v") * Matrix(att + "value.weight").transpose();
    const MatrixD r = Mix(x, att + "time_mix_r") *
                      Matrix(att + "receptance.weight").transpose();
    const RowD w = Row(att + "time_decay").array().exp();
    const RowD u = Row(att + "time_first");
    MatrixD wkv(k.rows(), k.cols());
    for (int64_t t = 0; t < k.rows(); ++t) {
      for (int64_t c = 0; c < k.cols(); ++c) {
        wkv(t, c) = WeightedMean(k.col(c), v.col(c), t, w(c), u(c));
      }
    }
    return Sigmoid(r).cwiseProduct(wkv) *
           Matrix(att + "output.weight").transpose();
  }

  // The weighted mean of v_0 .. v_t, with weights e^(k_i - (t-1-i) w) for v_i
  // and e^(k_t + u) for v_t.
  static double WeightedMean(const Eigen::VectorXd& k, const Eigen::VectorXd& v,
                             int64_t t, double w, double u) {
    std::vector<double> exponents;
    for (int64_t i = 0; i < t; ++i) exponents.push_back(k(i) - (t - 1 - i) * w);
    exponents.push_back(k(t) + u);
    const double largest =
        *std::max_element(exponents.begin(), exponents.end());
    double sum = 0, weights = 0;
    for (int64_t i = 0; i <= t; ++i) {
      const double weight = std::exp(exponents[i] - largest);
      sum += weight * v(i);
      weights += weight;
    }
    return sum / weights;
  }

  MatrixD ChannelMixing(const MatrixD& x, const std::string& ffn) const {
    const MatrixD k =
        Mix(x, ffn + "time_mix_k") * Matrix(ffn + "key.weight").transpose();
    const MatrixD r = Mix(x, ffn + "time_mix_r") *
                      Matrix(ffn + "receptance.weight").transpose();
    const MatrixD squared = k.array().max(0.0).square();
    const MatrixD v = squared * Matrix(ffn + "value.weight").transpose();
    return Sigmoid(r).cwiseProduct(v);
  }

  const TestTensors& tensors_;
};

}  // namespace

std::vector<std::vector<double>> ReferenceRwkv4(
    const TestTensors& tensors, absl::Span<const int32_t> tokens) {
  const MatrixD logits = Rwkv4Reference(tensors).Logits(tokens);
  std::vector<std::vector<double>> rows;
  for (int64_t t = 0; t < logits.rows(); ++t) {
    rows.emplace_back(logits.row(t).begin(), logits.row(t).end());
  }
  return rows;
}

}  // namespace rwkvd::testing
