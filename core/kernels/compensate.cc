// SPDX-License-Identifier: Apache-2.0
#include "core/kernels/compensate.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "Eigen/Core"

namespace rwkvd {
namespace {

using Floats =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A row of a group, its columns in the order of rounding.
struct Columns {
  float weights[kGroupCols];  // what they were
  float targets[kGroupCols];  // what they are to become
  float errors[kGroupCols];   // what they were less what they are
};

// Goes through the columns: become(k, target) tells what column k is then, and
// the others make up for it. `factor` is that of the group, rows `stride`
// apart.
template <typename Become>
void GoThrough(const float* factor, int64_t stride, Columns& columns,
               Become become) {
  for (int64_t k = 0; k < kGroupCols; ++k) {
    const float error = columns.weights[k] - become(k, columns.targets[k]);
    columns.errors[k] = error;
    const float* const row = factor + k * stride;
    for (int64_t i = k + 1; i < kGroupCols; ++i) {
      columns.targets[i] += error * row[i];
    }
  }
}

// The columns [first_col, first_col + feedback.cols()) of a stripe.
class Span {
 public:
  Span(const QuantizeArgs& args, int64_t first_col, const Feedback& feedback)
      : args_(args),
        first_col_(first_col),
        feedback_(feedback),
        factor_(feedback.factor.data(), feedback.cols(), feedback.cols()),
        made_up_(Floats::Zero(args.rows, feedback.cols())),
        errors_(args.rows, kGroupCols) {}

  bool Run() {
    for (int64_t begin = 0; begin < feedback_.cols(); begin += kGroupCols) {
      for (int64_t row = 0; row < args_.rows; ++row) {
        if (!RunGroup(row, begin)) return false;
      }
      const int64_t end = begin + kGroupCols, rest = feedback_.cols() - end;
      made_up_.rightCols(rest).noalias() +=
          errors_ * factor_.block(begin, end, kGroupCols, rest);
    }
    return true;
  }

 private:
  // Rounds the columns from number `begin` on, in the order of rounding.
  bool RunGroup(int64_t row, int64_t begin) {
    const int32_t* const order = feedback_.order.data() + begin;
    const int64_t first = first_col_ + order[0] / kGroupCols * kGroupCols;
    const float* const w = args_.w + row * args_.cols + first;
    const float* const factor = factor_.data() + begin * (factor_.cols() + 1);
    Columns columns;
    const auto start = [&] {
      for (int64_t k = 0; k < kGroupCols; ++k) {
        columns.weights[k] = w[order[k] % kGroupCols];
        columns.targets[k] = columns.weights[k] + made_up_(row, begin + k);
      }
    };
    float unrounded[kGroupCols];
    start();
    GoThrough(factor, factor_.cols(), columns, [&](int64_t k, float target) {
      return unrounded[order[k] % kGroupCols] = target;
    });
    const auto grid = QuantGrid::For(unrounded, args_.type);
    if (!grid.has_value()) return false;
    QuantGroup group{.scale = grid->scale()};
    start();
    GoThrough(factor, factor_.cols(), columns, [&](int64_t k, float target) {
      const uint8_t q = grid->Round(target);
      group.quants[order[k] % kGroupCols] = q;
      return grid->Value(q);
    });
    std::copy_n(columns.errors, kGroupCols, &errors_(row, 0));
    StoreGroup(args_, row, first, group);
    return true;
  }

  const QuantizeArgs& args_;
  const int64_t first_col_;
  const Feedback& feedback_;
  const Eigen::Map<const Floats> factor_;  // [cols, cols]
  Floats made_up_;                         // [rows, cols], for those before
  Floats errors_;                          // [rows, kGroupCols] of the group
};

}  // namespace

bool CompensateStripe(const QuantizeArgs& args,
                      absl::Span<const Feedback> spans) {
  ClearStripe(args);
  int64_t first_col = 0;
  for (const Feedback& feedback : spans) {
    if (!Span(args, first_col, feedback).Run()) return false;
    first_col += feedback.cols();
  }
  return true;
}

}  // namespace rwkvd
