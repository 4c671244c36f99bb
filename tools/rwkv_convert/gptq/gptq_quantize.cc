// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/gptq/gptq_quantize.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "Eigen/Core"

namespace rwkvd {
namespace {

using Floats =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A row of a group, its columns in the order of rounding, on the way.
struct Columns {
  float weights[kGroupCols];  // what they were
  float targets[kGroupCols];  // what they are to become
  float errors[kGroupCols];   // what they were less what they are
};

// Where a group's factors are: F, rows `stride` apart, and D.
struct GroupFactors {
  const float* factor;
  int64_t stride;
  const float* spread;
};

// Column `k` is `value` now, and those after it make up for it.
void Become(const GroupFactors& group, int64_t k, float value,
            Columns& columns) {
  const float error = columns.weights[k] - value;
  columns.errors[k] = error;
  const float* const row = group.factor + k * group.stride;
  for (int64_t i = k + 1; i < kGroupCols; ++i) {
    columns.targets[i] += error * row[i];
  }
}

// What they are to become if nothing is rounded.
void LeaveUnrounded(const GroupFactors& group, Columns& columns) {
  for (int64_t k = 0; k < kGroupCols; ++k) {
    Become(group, k, columns.targets[k], columns);
  }
}

// What a column that becomes `value` adds to the output's squared error.
float ErrorOf(const GroupFactors& group, int64_t k, float target, float value) {
  return group.spread[k] * ((target - value) * (target - value));
}

// The output's squared error if each column becomes the nearest number.
float ErrorOfNearest(const GroupFactors& group, const QuantGrid& grid,
                     Columns columns) {
  float sum = 0;
  for (int64_t k = 0; k < kGroupCols; ++k) {
    const float target = columns.targets[k];
    const float value = grid.Value(grid.Round(target));
    sum += ErrorOf(group, k, target, value);
    Become(group, k, value, columns);
  }
  return sum;
}

// Some of the columns rounded, from the first on.
struct Path {
  float error = 0;
  uint8_t quants[kGroupCols];
  Columns columns;
};

// One of the two ways on from a path.
struct Branch {
  float error;
  int path;
  uint8_t quant;
};

// Follows the kMaxPaths best ways to round the columns, each up or down, from
// one column to the next.
class PathSearch {
 public:
  PathSearch(const GroupFactors& group, const QuantGrid& grid)
      : group_(group), grid_(grid) {}

  // The best that has been found.
  Path Run(const Columns& columns) {
    paths_.resize(1);
    paths_[0].columns = columns;
    for (int64_t k = 0; k < kGroupCols; ++k) {
      Branches(k);
      next_.resize(branches_.size());
      for (size_t i = 0; i < branches_.size(); ++i) {
        next_[i] = paths_[branches_[i].path];
        next_[i].error = branches_[i].error;
        next_[i].quants[k] = branches_[i].quant;
        Become(group_, k, grid_.Value(branches_[i].quant), next_[i].columns);
      }
      std::swap(paths_, next_);
    }
    return paths_[0];
  }

 private:
  static constexpr size_t kMaxPaths = 8;

  // The best ways on at column `k`, the very best first.
  void Branches(int64_t k) {
    branches_.clear();
    for (size_t i = 0; i < paths_.size(); ++i) {
      const float target = paths_[i].columns.targets[k];
      const auto add = [&](uint8_t q) {
        branches_.push_back(
            {paths_[i].error + ErrorOf(group_, k, target, grid_.Value(q)),
             static_cast<int>(i), q});
      };
      const uint8_t nearest = grid_.Round(target);
      add(nearest);
      const auto other = grid_.OtherNeighbor(target, nearest);
      if (other.has_value()) add(*other);
    }
    const size_t kept = std::min(branches_.size(), kMaxPaths);
    std::partial_sort(branches_.begin(), branches_.begin() + kept,
                      branches_.end(), [](const Branch& a, const Branch& b) {
                        return std::tie(a.error, a.path, a.quant) <
                               std::tie(b.error, b.path, b.quant);
                      });
    branches_.resize(kept);
  }

  const GroupFactors group_;
  const QuantGrid& grid_;
  std::vector<Path> paths_, next_;
  std::vector<Branch> branches_;
};

// The columns [first_col, first_col + factors.cols()) of a packed block.
class Span {
 public:
  Span(const QuantizeArgs& args, int64_t first_col, const GptqFactors& factors)
      : args_(args),
        first_col_(first_col),
        factors_(factors),
        factor_(factors.factor.data(), factors.cols(), factors.cols()),
        made_up_(Floats::Zero(args.rows, factors.cols())),
        errors_(args.rows, kGroupCols) {}

  bool Run() {
    for (int64_t begin = 0; begin < factors_.cols(); begin += kGroupCols) {
      for (int64_t row = 0; row < args_.rows; ++row) {
        if (!RunGroup(row, begin)) return false;
      }
      const int64_t end = begin + kGroupCols, rest = factors_.cols() - end;
      made_up_.rightCols(rest).noalias() +=
          errors_ * factor_.block(begin, end, kGroupCols, rest);
    }
    return true;
  }

 private:
  // Rounds the columns from number `begin` on, in the order of rounding.
  bool RunGroup(int64_t row, int64_t begin) {
    const int32_t* const order = factors_.order.data() + begin;
    const int64_t first = first_col_ + order[0] / kGroupCols * kGroupCols;
    const float* const w = args_.w + row * args_.cols + first;
    const GroupFactors group = {
        .factor = factor_.data() + begin * (factor_.cols() + 1),
        .stride = factor_.cols(),
        .spread = factors_.spread.data() + begin};
    Columns columns;
    for (int64_t k = 0; k < kGroupCols; ++k) {
      columns.weights[k] = w[order[k] % kGroupCols];
      columns.targets[k] = columns.weights[k] + made_up_(row, begin + k);
    }
    const auto grid = GridFor(group, columns, order);
    if (!grid.has_value()) return false;
    const Path path = PathSearch(group, *grid).Run(columns);
    QuantGroup rounded{.scale = grid->scale()};
    for (int64_t k = 0; k < kGroupCols; ++k) {
      rounded.quants[order[k] % kGroupCols] = path.quants[k];
    }
    std::copy_n(path.columns.errors, kGroupCols, &errors_(row, 0));
    StoreGroup(args_, row, first, rounded);
    return true;
  }

  // Of the scales that suit the columns as they would be if none of them were
  // rounded, that which leaves the least error when all are.
  std::optional<QuantGrid> GridFor(const GroupFactors& group,
                                   const Columns& columns,
                                   const int32_t* order) const {
    Columns unrounded = columns;
    LeaveUnrounded(group, unrounded);
    float w[kGroupCols];
    for (int64_t k = 0; k < kGroupCols; ++k) {
      w[order[k] % kGroupCols] = unrounded.targets[k];
    }
    std::optional<QuantGrid> best;
    float least = std::numeric_limits<float>::infinity();
    for (const QuantGrid& grid : QuantGrid::Candidates(w, args_.type)) {
      const float error = ErrorOfNearest(group, grid, columns);
      if (best.has_value() && !(error < least)) continue;
      best = grid;
      least = error;
    }
    return best;
  }

  const QuantizeArgs& args_;
  const int64_t first_col_;
  const GptqFactors& factors_;
  const Eigen::Map<const Floats> factor_;  // [cols, cols]
  Floats made_up_;                         // [rows, cols], for those before
  Floats errors_;                          // [rows, kGroupCols] of the group
};

}  // namespace

bool GptqQuantize(const QuantizeArgs& args,
                  absl::Span<const GptqFactors> spans) {
  ClearPackedBlock(args);
  int64_t first_col = 0;
  for (const GptqFactors& factors : spans) {
    if (!Span(args, first_col, factors).Run()) return false;
    first_col += factors.cols();
  }
  return true;
}

absl::StatusOr<QuantizedMatrix> GptqQuantizeMatrix(
    const Tensor& matrix, QuantForm form, absl::Span<const GptqFactors> spans,
    ThreadPool& pool) {
  return QuantizeMatrix(
      matrix, form, pool, [&](int64_t first_row, QuantizeArgs args) {
        std::vector<float> corrected(args.w, args.w + args.rows * args.cols);
        float* part = corrected.data();
        for (const GptqFactors& span : spans) {
          CorrectWeights(span, first_row, args.rows, part, args.cols);
          part += span.cols();
        }
        args.w = corrected.data();
        return GptqQuantize(args, spans);
      });
}

}  // namespace rwkvd
