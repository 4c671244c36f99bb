// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_MATH_H_
#define RWKVD_TESTS_TESTING_REFERENCE_MATH_H_

// Functions that the equations of versions 5, 6 and 7 share, in double
// precision. Slow and simple; for reference models only.

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// The activations of a text: one row for each token.
using MatrixD =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowD = Eigen::RowVectorXd;

struct ReferenceOptions {
  double group_norm_epsilon = 64e-5;
  // The state before the first token: for each layer, [heads]
  // [head_size (keys)][head_size (values)]. If empty, the att.time_state of the
  // checkpoint; without that, zeros.
  std::vector<std::vector<double>> initial_state;
};

// The logits after every token: [n][vocab].
using Logits = std::vector<std::vector<double>>;

// Access to the tensors of a checkpoint as matrices. A view.
class Weights {
 public:
  explicit Weights(const TestTensors& tensors) : tensors_(tensors) {}

  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  int64_t Rows(const std::string& name) const;  // the first dimension
  // All values of a tensor as one row.
  RowD Row(const std::string& name) const;
  // Matrix number `which` of a tensor [matrices, rows, cols] or [rows, cols].
  MatrixD Matrix(const std::string& name, int64_t which = 0) const;

 private:
  const TestTensors& tensors_;
};

MatrixD Sigmoid(const MatrixD& x);
MatrixD Silu(const MatrixD& x);
MatrixD Tanh(const MatrixD& x);

// Each row of `x` multiplied elementwise by `scale`.
MatrixD Scaled(const MatrixD& x, const RowD& scale);
// `shift` added to each row of `x`.
MatrixD Shifted(const MatrixD& x, const RowD& shift);

// x_{t-1} in row t; zeros in row 0.
MatrixD Previous(const MatrixD& x);

// (x - mean) / sqrt(variance + 1e-5) * weight + bias, for each row.
MatrixD LayerNorm(const Weights& weights, const std::string& name,
                  const MatrixD& x);
// The same for each of `groups` equal parts of a row.
MatrixD GroupNorm(const Weights& weights, const std::string& name,
                  int64_t groups, double epsilon, const MatrixD& x);

// The columns of one head.
MatrixD HeadColumns(const MatrixD& x, int64_t head, int64_t head_size);

// The state of a head before the first token, [head_size (keys)]
// [head_size (values)]. `value_major` says whether the training code of the
// version keeps its state as [values][keys], as it does from version 7 on. That
// code transposes each matrix of time_state when it reads one.
MatrixD InitialState(const Weights& weights, const ReferenceOptions& options,
                     int64_t layer, int64_t head, int64_t head_size,
                     bool value_major);

// Computes embedding, blocks and head. `mix_time(layer, x)` and
// `mix_channels(layer, x)` receive the output of ln1 and ln2.
Logits RunModel(
    const Weights& weights, absl::Span<const int32_t> tokens,
    absl::FunctionRef<MatrixD(int64_t, const MatrixD&)> mix_time,
    absl::FunctionRef<MatrixD(int64_t, const MatrixD&)> mix_channels);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_MATH_H_
