// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/gptq/gptq_factors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "core/kernels/quant/layout.h"

namespace rwkvd {
namespace {

using Floats =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// The order of rounding: groups by the sum of their moments and columns within
// a group by their own moment, the largest first.
std::vector<int32_t> OrderOf(const std::vector<double>& diagonal) {
  const int64_t num_groups = static_cast<int64_t>(diagonal.size()) / kGroupCols;
  std::vector<double> sums(num_groups);
  for (int64_t g = 0; g < num_groups; ++g) {
    const auto first = diagonal.begin() + g * kGroupCols;
    sums[g] = std::accumulate(first, first + kGroupCols, 0.0);
  }
  std::vector<int64_t> groups(num_groups);
  std::iota(groups.begin(), groups.end(), 0);
  std::stable_sort(groups.begin(), groups.end(),
                   [&](int64_t a, int64_t b) { return sums[a] > sums[b]; });
  std::vector<int32_t> order;
  order.reserve(diagonal.size());
  for (const int64_t g : groups) {
    const int64_t first = g * kGroupCols;
    for (int64_t i = 0; i < kGroupCols; ++i) {
      order.push_back(static_cast<int32_t>(first + i));
    }
    std::stable_sort(
        order.end() - kGroupCols, order.end(),
        [&](int32_t a, int32_t b) { return diagonal[a] > diagonal[b]; });
  }
  return order;
}

// The number to add to each element of the diagonal. Inputs that were all zero
// say nothing about the weights: 1.
double DampingOf(const std::vector<double>& diagonal) {
  const double sum = std::accumulate(diagonal.begin(), diagonal.end(), 0.0);
  if (sum == 0) return 1;
  return kHessianDamping * sum / static_cast<double>(diagonal.size());
}

}  // namespace

std::optional<GptqFactors> MakeGptqFactors(const float* sums, int64_t cols,
                                           int64_t num) {
  std::vector<double> diagonal(cols);
  for (int64_t i = 0; i < cols; ++i) diagonal[i] = sums[i * cols + i];
  const double damping = DampingOf(diagonal);
  if (!std::isfinite(damping)) return std::nullopt;
  GptqFactors factors{.order = OrderOf(diagonal)};
  const std::vector<int32_t>& order = factors.order;

  // The Cholesky factor of the Hessian with its columns in reverse order: F,
  // reversed, times the square root of D.
  const double trusted =
      static_cast<double>(num) / static_cast<double>(num + cols);
  Eigen::MatrixXd lower(cols, cols);
  for (int64_t j = 0; j < cols; ++j) {
    const int64_t b = order[cols - 1 - j];
    lower(j, j) = diagonal[b] + damping;
    for (int64_t i = j + 1; i < cols; ++i) {
      const int64_t a = order[cols - 1 - i];
      lower(i, j) = trusted * sums[std::max(a, b) * cols + std::min(a, b)];
    }
  }
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factored(lower);
  if (factored.info() != Eigen::Success) return std::nullopt;

  factors.correction_share = static_cast<float>(num) /
                             static_cast<float>(num + kCorrectionDoubt * cols);
  factors.factor.resize(cols * cols);
  factors.diagonal.resize(cols);
  for (int64_t k = 0; k < cols; ++k) {
    const auto column = lower.col(cols - 1 - k);
    const double root = column(cols - 1 - k), inverse = 1 / root;
    if (!std::isfinite(inverse)) return std::nullopt;
    factors.diagonal[k] = static_cast<float>(root * root);
    for (int64_t i = 0; i < k; ++i) {
      factors.factor[i * cols + k] =
          static_cast<float>(column(cols - 1 - i) * inverse);
    }
    factors.factor[k * cols + k] = 1;
  }
  return factors;
}

void CorrectWeights(const GptqFactors& factors, int64_t first, int64_t num,
                    float* rows, int64_t stride) {
  if (factors.input_error.empty()) return;
  const int64_t cols = factors.cols();
  const Eigen::Map<const Floats> input_error(factors.input_error.data(), cols,
                                             cols);
  const Eigen::Map<const Floats> factor(factors.factor.data(), cols, cols);
  const Eigen::Map<Floats, 0, Eigen::OuterStride<>> weights(
      rows, num, cols, Eigen::OuterStride<>(stride));
  Floats change(num, cols);
  change.noalias() = weights * input_error;
  if (!factors.stream_error.empty()) {
    change += Eigen::Map<const Floats>(
        factors.stream_error.data() + first * cols, num, cols);
  }
  // Multiplies by the inverse of F D F^T, with the columns in the order of
  // rounding.
  Floats solved(num, cols);
  for (int64_t k = 0; k < cols; ++k) {
    solved.col(k) = change.col(factors.order[k]);
  }
  factor.transpose()
      .triangularView<Eigen::UnitLower>()
      .solveInPlace<Eigen::OnTheRight>(solved);
  for (int64_t k = 0; k < cols; ++k) {
    solved.col(k) *= factors.correction_share / factors.diagonal[k];
  }
  factor.triangularView<Eigen::UnitUpper>().solveInPlace<Eigen::OnTheRight>(
      solved);
  for (int64_t row = 0; row < num; ++row) {
    for (int64_t k = 0; k < cols; ++k) {
      rows[row * stride + factors.order[k]] += solved(row, k);
    }
  }
}

}  // namespace rwkvd
