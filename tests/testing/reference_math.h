// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_REFERENCE_MATH_H_
#define RWKVD_TESTS_TESTING_REFERENCE_MATH_H_

// What the equations of versions 5, 6 and 7 have in common, in double
// precision. Slow and plain; only for oracles.

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// A text is a matrix with one row for each token.
using MatrixD =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowD = Eigen::RowVectorXd;

struct ReferenceOptions {
  double group_norm_epsilon = 64e-5;
  // What stands in the state before the first token: for each layer [heads]
  // [head_size, of keys] [head_size, of values]. If empty, the checkpoint's
  // own att.time_state; without that, zero.
  std::vector<std::vector<double>> initial_state;
};

// The logits after every token: [n][vocab].
using Logits = std::vector<std::vector<double>>;

class Weights {
 public:
  explicit Weights(const TestTensors& tensors) : tensors_(tensors) {}

  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  int64_t Rows(const std::string& name) const;  // the first dimension
  // All values, one behind the other.
  RowD Row(const std::string& name) const;
  // Of a tensor [matrices, rows, cols] or [rows, cols].
  MatrixD Matrix(const std::string& name, int64_t which = 0) const;

 private:
  const TestTensors& tensors_;
};

MatrixD Sigmoid(const MatrixD& x);
MatrixD Silu(const MatrixD& x);
MatrixD Tanh(const MatrixD& x);

// Each row times a row, value by value.
MatrixD Scaled(const MatrixD& x, const RowD& scale);
// A row added to each row.
MatrixD Shifted(const MatrixD& x, const RowD& shift);

// x_{t-1} in row t; nothing stands before the first token.
MatrixD Previous(const MatrixD& x);

// (x - mean) / sqrt(variance + 1e-5) * weight + bias, over each row.
MatrixD LayerNorm(const Weights& weights, const std::string& name,
                  const MatrixD& x);
// The same over each of `groups` equal parts of a row.
MatrixD GroupNorm(const Weights& weights, const std::string& name,
                  int64_t groups, double epsilon, const MatrixD& x);

// The columns of a head.
MatrixD OfHead(const MatrixD& x, int64_t head, int64_t head_size);

// The state of a head before the first token: [head_size, of keys]
// [head_size, of values]. `value_major` says in which order the version's own
// code keeps its state, which is [values][keys] from version 7 on. That code
// takes each matrix of time_state transposed, whatever its order.
MatrixD InitialState(const Weights& weights, const ReferenceOptions& options,
                     int64_t layer, int64_t head, int64_t head_size,
                     bool value_major);

// Embedding, blocks and head. `mix_time(layer, x)` and `mix_channels(layer,
// x)` are given ln1 and ln2 of what runs through.
Logits RunNetwork(
    const Weights& weights, absl::Span<const int32_t> tokens,
    absl::FunctionRef<MatrixD(int64_t, const MatrixD&)> mix_time,
    absl::FunctionRef<MatrixD(int64_t, const MatrixD&)> mix_channels);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_REFERENCE_MATH_H_
