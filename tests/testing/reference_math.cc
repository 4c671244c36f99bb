// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference_math.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace rwkvd::testing {

int64_t Weights::Rows(const std::string& name) const {
  return tensors_.at(name).shape[0];
}

RowD Weights::Row(const std::string& name) const {
  const std::vector<float>& values = tensors_.at(name).values;
  return Eigen::Map<const Eigen::RowVectorXf>(values.data(), values.size())
      .cast<double>();
}

MatrixD Weights::Matrix(const std::string& name, int64_t which) const {
  const TestTensor& tensor = tensors_.at(name);
  RWKVD_CHECK(tensor.shape.size() == 2 || tensor.shape.size() == 3);
  MatrixD m(*(tensor.shape.end() - 2), tensor.shape.back());
  for (int64_t i = 0; i < m.size(); ++i) {
    m.data()[i] = tensor.values.at(which * m.size() + i);
  }
  return m;
}

MatrixD Sigmoid(const MatrixD& x) {
  return (1.0 / (1.0 + (-x.array()).exp())).matrix();
}

MatrixD Silu(const MatrixD& x) { return x.cwiseProduct(Sigmoid(x)); }

MatrixD Tanh(const MatrixD& x) {
  return x.unaryExpr([](double v) { return std::tanh(v); });
}

MatrixD Scaled(const MatrixD& x, const RowD& scale) {
  return x * scale.asDiagonal();
}

MatrixD Shifted(const MatrixD& x, const RowD& shift) {
  return x.rowwise() + shift;
}

MatrixD Previous(const MatrixD& x) {
  MatrixD previous = MatrixD::Zero(x.rows(), x.cols());
  for (int64_t t = 1; t < x.rows(); ++t) previous.row(t) = x.row(t - 1);
  return previous;
}

namespace {

RowD Normalized(const RowD& x, double epsilon) {
  const RowD centered = x.array() - x.mean();
  const double variance = centered.squaredNorm() / x.size();
  return centered / std::sqrt(variance + epsilon);
}

}  // namespace

MatrixD LayerNorm(const Weights& weights, const std::string& name,
                  const MatrixD& x) {
  return GroupNorm(weights, name, 1, 1e-5, x);
}

MatrixD GroupNorm(const Weights& weights, const std::string& name,
                  int64_t groups, double epsilon, const MatrixD& x) {
  const int64_t size = x.cols() / groups;
  MatrixD y(x.rows(), x.cols());
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t g = 0; g < groups; ++g) {
      y.row(t).segment(g * size, size) =
          Normalized(x.row(t).segment(g * size, size), epsilon);
    }
  }
  return Shifted(Scaled(y, weights.Row(name + ".weight")),
                 weights.Row(name + ".bias"));
}

MatrixD HeadColumns(const MatrixD& x, int64_t head, int64_t head_size) {
  return x.middleCols(head * head_size, head_size);
}

MatrixD InitialState(const Weights& weights, const ReferenceOptions& options,
                     int64_t layer, int64_t head, int64_t head_size,
                     bool value_major) {
  const std::string tuned = absl::StrCat("blocks.", layer, ".att.time_state");
  if (!options.initial_state.empty()) {
    const std::vector<double>& state = options.initial_state.at(layer);
    const int64_t first = head * head_size * head_size;
    RWKVD_CHECK(first + head_size * head_size <=
                static_cast<int64_t>(state.size()));
    return Eigen::Map<const MatrixD>(state.data() + first, head_size,
                                     head_size);
  }
  if (!weights.Has(tuned)) return MatrixD::Zero(head_size, head_size);
  const MatrixD state = weights.Matrix(tuned, head).transpose();
  return value_major ? MatrixD(state.transpose()) : state;
}

Logits RunModel(
    const Weights& weights, absl::Span<const int32_t> tokens,
    absl::FunctionRef<MatrixD(int64_t, const MatrixD&)> mix_time,
    absl::FunctionRef<MatrixD(int64_t, const MatrixD&)> mix_channels) {
  const MatrixD embedding = weights.Matrix("emb.weight");
  MatrixD x(tokens.size(), embedding.cols());
  for (size_t t = 0; t < tokens.size(); ++t) {
    x.row(t) = embedding.row(tokens[t]);
  }
  x = LayerNorm(weights, "blocks.0.ln0", x);
  for (int64_t i = 0; weights.Has(absl::StrCat("blocks.", i, ".ln1.weight"));
       ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    x += mix_time(i, LayerNorm(weights, block + "ln1", x));
    x += mix_channels(i, LayerNorm(weights, block + "ln2", x));
  }
  const MatrixD logits = LayerNorm(weights, "ln_out", x) *
                         weights.Matrix("head.weight").transpose();
  Logits rows;
  for (int64_t t = 0; t < logits.rows(); ++t) {
    rows.emplace_back(logits.row(t).begin(), logits.row(t).end());
  }
  return rows;
}

}  // namespace rwkvd::testing
