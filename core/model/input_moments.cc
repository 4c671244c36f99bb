// SPDX-License-Identifier: Apache-2.0
#include "core/model/input_moments.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "Eigen/Core"
#include "core/base/check.h"
#include "core/kernels/quantized.h"
#include "core/model/matrix.h"

namespace rwkvd {
namespace {

using Floats =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows of sums that one thread takes at a time.
constexpr int64_t kTileRows = 64;
// Rows of x that are added up at a time, so that the order in which they are
// does not depend on the processor's caches.
constexpr int64_t kDepth = 128;

// Rows [begin, end) of the sums over the columns of x, as far as the diagonal.
void AddProducts(Eigen::Ref<const Floats, 0, Eigen::OuterStride<>> x,
                 int64_t begin, int64_t end, Eigen::Map<Floats> sums) {
  for (int64_t first = 0; first < x.rows(); first += kDepth) {
    const auto part = x.middleRows(first, std::min(kDepth, x.rows() - first));
    sums.block(begin, 0, end - begin, end).noalias() +=
        part.middleCols(begin, end - begin).transpose() * part.leftCols(end);
  }
}

}  // namespace

int64_t InputMoments::BytesFor(int64_t cols) const {
  int64_t bytes = 0;
  for (int64_t first = 0; first < cols; first += span_cols_) {
    const int64_t size = std::min(span_cols_, cols - first);
    bytes += size * size * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

void InputMoments::Watch(const std::byte* weights, int64_t cols) {
  RWKVD_CHECK(cols % kGroupCols == 0 && span_cols_ % kGroupCols == 0);
  std::vector<Span>& spans = spans_[weights];
  RWKVD_CHECK(spans.empty());
  for (int64_t first = 0; first < cols; first += span_cols_) {
    const int64_t size = std::min(span_cols_, cols - first);
    spans.push_back({.first_col = first,
                     .cols = size,
                     .sums = std::vector<float>(size * size)});
  }
}

void InputMoments::OnInputs(const Matrix& w, Rows x) {
  const auto found = spans_.find(w.data);
  if (found == spans_.end()) return;
  for (Span& span : found->second) {
    span.num += x.num;
    const Eigen::Map<const Floats, 0, Eigen::OuterStride<>> inputs(
        x.data + span.first_col, x.num, span.cols,
        Eigen::OuterStride<>(x.width));
    const Eigen::Map<Floats> sums(span.sums.data(), span.cols, span.cols);
    const int64_t tiles = (span.cols + kTileRows - 1) / kTileRows;
    pool_.ParallelFor(tiles, [&](int64_t tile) {
      const int64_t begin = tile * kTileRows;
      AddProducts(inputs, begin, std::min(span.cols, begin + kTileRows), sums);
    });
  }
}

std::vector<Feedback> InputMoments::MakeFeedbacks(
    const std::byte* weights) const {
  const auto found = spans_.find(weights);
  RWKVD_CHECK(found != spans_.end());
  const std::vector<Span>& spans = found->second;
  std::vector<std::optional<Feedback>> made(spans.size());
  pool_.ParallelFor(static_cast<int64_t>(spans.size()), [&](int64_t i) {
    made[i] = MakeFeedback(spans[i].sums.data(), spans[i].cols, spans[i].num);
  });
  std::vector<Feedback> feedbacks;
  for (std::optional<Feedback>& feedback : made) {
    if (!feedback.has_value()) return {};
    feedbacks.push_back(*std::move(feedback));
  }
  return feedbacks;
}

}  // namespace rwkvd
