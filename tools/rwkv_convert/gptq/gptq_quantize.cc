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

// One row of a group while it is being rounded, its columns in the order of
// rounding.
struct Columns {
  float weights[kGroupCols];  // before rounding
  float targets[kGroupCols];  // the weights, compensated for earlier columns
  float errors[kGroupCols];   // before - after rounding
};

// The factors of one group: F, whose rows have the given stride, and D.
struct GroupFactors {
  const float* factor;
  int64_t stride;
  const float* diagonal;
};

// Sets column `k` to `value` and lets the columns after it compensate.
void Assign(const GroupFactors& group, int64_t k, float value,
            Columns& columns) {
  const float error = columns.weights[k] - value;
  columns.errors[k] = error;
  const float* const row = group.factor + k * group.stride;
  for (int64_t i = k + 1; i < kGroupCols; ++i) {
    columns.targets[i] += error * row[i];
  }
}

// Computes the targets as they would be without rounding.
void AssignUnrounded(const GroupFactors& group, Columns& columns) {
  for (int64_t k = 0; k < kGroupCols; ++k) {
    Assign(group, k, columns.targets[k], columns);
  }
}

// The squared error of the output that setting column `k` to `value` adds.
float ErrorOf(const GroupFactors& group, int64_t k, float target, float value) {
  return group.diagonal[k] * ((target - value) * (target - value));
}

// The squared error of the output if each column is rounded to nearest.
float ErrorRoundedToNearest(const GroupFactors& group, const QuantGrid& grid,
                            Columns columns) {
  float sum = 0;
  for (int64_t k = 0; k < kGroupCols; ++k) {
    const float target = columns.targets[k];
    const float value = grid.Value(grid.Round(target));
    sum += ErrorOf(group, k, target, value);
    Assign(group, k, value, columns);
  }
  return sum;
}

// A candidate of the beam search: the first columns are rounded.
struct Candidate {
  float error = 0;
  uint8_t quants[kGroupCols];
  Columns columns;
};

// A candidate with one more column rounded, up or down.
struct Extension {
  float error;
  int candidate;
  uint8_t quant;
};

// A beam search for the best way to round each column up or down: keeps the
// kBeamWidth best candidates from one column to the next.
class BeamSearch {
 public:
  BeamSearch(const GroupFactors& group, const QuantGrid& grid)
      : group_(group), grid_(grid) {}

  // Returns the best candidate.
  Candidate Run(const Columns& columns) {
    beam_.resize(1);
    beam_[0].columns = columns;
    for (int64_t k = 0; k < kGroupCols; ++k) {
      Extend(k);
      next_.resize(extensions_.size());
      for (size_t i = 0; i < extensions_.size(); ++i) {
        next_[i] = beam_[extensions_[i].candidate];
        next_[i].error = extensions_[i].error;
        next_[i].quants[k] = extensions_[i].quant;
        Assign(group_, k, grid_.Value(extensions_[i].quant), next_[i].columns);
      }
      std::swap(beam_, next_);
    }
    return beam_[0];
  }

 private:
  static constexpr size_t kBeamWidth = 8;

  // Finds the best extensions by column `k`, the best first.
  void Extend(int64_t k) {
    extensions_.clear();
    for (size_t i = 0; i < beam_.size(); ++i) {
      const float target = beam_[i].columns.targets[k];
      const auto add = [&](uint8_t q) {
        extensions_.push_back(
            {beam_[i].error + ErrorOf(group_, k, target, grid_.Value(q)),
             static_cast<int>(i), q});
      };
      const uint8_t nearest = grid_.Round(target);
      add(nearest);
      const auto other = grid_.OtherNeighbor(target, nearest);
      if (other.has_value()) add(*other);
    }
    const size_t kept = std::min(extensions_.size(), kBeamWidth);
    std::partial_sort(extensions_.begin(), extensions_.begin() + kept,
                      extensions_.end(),
                      [](const Extension& a, const Extension& b) {
                        return std::tie(a.error, a.candidate, a.quant) <
                               std::tie(b.error, b.candidate, b.quant);
                      });
    extensions_.resize(kept);
  }

  const GroupFactors group_;
  const QuantGrid& grid_;
  std::vector<Candidate> beam_, next_;
  std::vector<Extension> extensions_;
};

// Rounds columns [first_col, first_col + factors.cols()) of a packed block.
class SpanQuantizer {
 public:
  SpanQuantizer(const QuantizeArgs& args, int64_t first_col,
                const GptqFactors& factors)
      : args_(args),
        first_col_(first_col),
        factors_(factors),
        factor_(factors.factor.data(), factors.cols(), factors.cols()),
        compensation_(Floats::Zero(args.rows, factors.cols())),
        errors_(args.rows, kGroupCols) {}

  bool Run() {
    for (int64_t begin = 0; begin < factors_.cols(); begin += kGroupCols) {
      for (int64_t row = 0; row < args_.rows; ++row) {
        if (!RunGroup(row, begin)) return false;
      }
      const int64_t end = begin + kGroupCols, rest = factors_.cols() - end;
      compensation_.rightCols(rest).noalias() +=
          errors_ * factor_.block(begin, end, kGroupCols, rest);
    }
    return true;
  }

 private:
  // Rounds one row of the group whose first column has index `begin` in the
  // order of rounding.
  bool RunGroup(int64_t row, int64_t begin) {
    const int32_t* const order = factors_.order.data() + begin;
    const int64_t first = first_col_ + order[0] / kGroupCols * kGroupCols;
    const float* const w = args_.w + row * args_.cols + first;
    const GroupFactors group = {
        .factor = factor_.data() + begin * (factor_.cols() + 1),
        .stride = factor_.cols(),
        .diagonal = factors_.diagonal.data() + begin};
    Columns columns;
    for (int64_t k = 0; k < kGroupCols; ++k) {
      columns.weights[k] = w[order[k] % kGroupCols];
      columns.targets[k] = columns.weights[k] + compensation_(row, begin + k);
    }
    const auto grid = GridFor(group, columns, order);
    if (!grid.has_value()) return false;
    const Candidate candidate = BeamSearch(group, *grid).Run(columns);
    QuantGroup rounded{.scale = grid->scale()};
    for (int64_t k = 0; k < kGroupCols; ++k) {
      rounded.quants[order[k] % kGroupCols] = candidate.quants[k];
    }
    std::copy_n(candidate.columns.errors, kGroupCols, &errors_(row, 0));
    StoreGroup(args_, row, first, rounded);
    return true;
  }

  // Returns the grid with the smallest error when all columns are rounded to
  // nearest, among those that fit the columns as they would be without
  // rounding.
  std::optional<QuantGrid> GridFor(const GroupFactors& group,
                                   const Columns& columns,
                                   const int32_t* order) const {
    Columns unrounded = columns;
    AssignUnrounded(group, unrounded);
    float w[kGroupCols];
    for (int64_t k = 0; k < kGroupCols; ++k) {
      w[order[k] % kGroupCols] = unrounded.targets[k];
    }
    std::optional<QuantGrid> best;
    float least = std::numeric_limits<float>::infinity();
    for (const QuantGrid& grid : QuantGrid::Candidates(w, args_.type)) {
      const float error = ErrorRoundedToNearest(group, grid, columns);
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
  Floats compensation_;  // [rows, cols], for the errors of earlier groups
  Floats errors_;        // [rows, kGroupCols], of the current group
};

}  // namespace

bool GptqQuantize(const QuantizeArgs& args,
                  absl::Span<const GptqFactors> spans) {
  ClearPackedBlock(args);
  int64_t first_col = 0;
  for (const GptqFactors& factors : spans) {
    if (!SpanQuantizer(args, first_col, factors).Run()) return false;
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
