// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/feedback.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "core/kernels/quantized.h"

namespace rwkvd {
namespace {

// The columns: groups by the sum of their moments, in each by their own, the
// largest first.
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

// What is added to the diagonal. Inputs that were all zero say nothing: 1.
double DampingOf(const std::vector<double>& diagonal) {
  const double sum = std::accumulate(diagonal.begin(), diagonal.end(), 0.0);
  if (sum == 0) return 1;
  return kFeedbackDamping * sum / static_cast<double>(diagonal.size());
}

// The damped moments in the reverse of the order of rounding, as Cholesky's
// product.
class Moments {
 public:
  Moments(const float* sums, int64_t cols, int64_t num)
      : cols_(cols),
        believed_(static_cast<double>(num) / static_cast<double>(num + cols)),
        solved_(static_cast<double>(num) /
                static_cast<double>(num + kCorrectionDoubt * cols)) {
    std::vector<double> diagonal(cols);
    for (int64_t i = 0; i < cols; ++i) diagonal[i] = sums[i * cols + i];
    const double damping = DampingOf(diagonal);
    if (!std::isfinite(damping)) return;
    order_ = OrderOf(diagonal);
    lower_.resize(cols, cols);
    for (int64_t j = 0; j < cols; ++j) {
      const int64_t b = Column(j);
      lower_(j, j) = diagonal[b] + damping;
      for (int64_t i = j + 1; i < cols; ++i) {
        const int64_t a = Column(i);
        lower_(i, j) = believed_ * sums[std::max(a, b) * cols + std::min(a, b)];
      }
    }
    factored_.emplace(lower_);
  }

  // False if a sum is not finite.
  bool ok() const {
    return factored_.has_value() && factored_->info() == Eigen::Success;
  }

  // False if what is made is not finite.
  bool MakeFactor(Feedback* feedback) const {
    feedback->order = order_;
    feedback->factor.resize(cols_ * cols_);
    feedback->spread.resize(cols_);
    for (int64_t k = 0; k < cols_; ++k) {
      const auto column = lower_.col(cols_ - 1 - k);
      const double root = column(cols_ - 1 - k), inverse = 1 / root;
      if (!std::isfinite(inverse)) return false;
      feedback->spread[k] = static_cast<float>(root * root);
      for (int64_t i = 0; i < k; ++i) {
        feedback->factor[i * cols_ + k] =
            static_cast<float>(column(cols_ - 1 - i) * inverse);
      }
      feedback->factor[k * cols_ + k] = 1;
    }
    return true;
  }

  // The rows times the inverse of the moments, as far as that is believed.
  std::vector<float> Solve(absl::Span<const float> rows) const {
    const int64_t num = static_cast<int64_t>(rows.size()) / cols_;
    Eigen::MatrixXd solved(cols_, num);
    for (int64_t row = 0; row < num; ++row) {
      for (int64_t i = 0; i < cols_; ++i) {
        solved(i, row) = solved_ * rows[row * cols_ + Column(i)];
      }
    }
    factored_->solveInPlace(solved);
    std::vector<float> result(rows.size());
    for (int64_t row = 0; row < num; ++row) {
      for (int64_t i = 0; i < cols_; ++i) {
        result[row * cols_ + Column(i)] = static_cast<float>(solved(i, row));
      }
    }
    return result;
  }

 private:
  // Of the matrix that row (column) `i` here is.
  int64_t Column(int64_t i) const { return order_[cols_ - 1 - i]; }

  const int64_t cols_;
  const double believed_;
  const double solved_;  // the part of a solution that is taken
  std::vector<int32_t> order_;
  Eigen::MatrixXd lower_;
  // Whose lower triangle is that of F in reverse, times the root of D.
  std::optional<Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>>> factored_;
};

bool AreFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

}  // namespace

std::optional<Feedback> MakeFeedback(const float* sums, int64_t cols,
                                     int64_t num) {
  const Moments moments(sums, cols, num);
  Feedback feedback;
  if (!moments.ok() || !moments.MakeFactor(&feedback)) return std::nullopt;
  return feedback;
}

std::optional<Feedback> MakeCorrectingFeedback(const float* sums, int64_t cols,
                                               int64_t num,
                                               absl::Span<const float> wanted,
                                               absl::Span<const float> added) {
  const Moments moments(sums, cols, num);
  Feedback feedback;
  if (!moments.ok() || !moments.MakeFactor(&feedback)) return std::nullopt;
  feedback.correction = moments.Solve(wanted);
  feedback.addition = moments.Solve(added);
  if (!AreFinite(feedback.correction) || !AreFinite(feedback.addition)) {
    return std::nullopt;
  }
  return feedback;
}

}  // namespace rwkvd
