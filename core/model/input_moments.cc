// SPDX-License-Identifier: Apache-2.0
#include "core/model/input_moments.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "Eigen/Core"
#include "core/base/check.h"
#include "core/kernels/quantized.h"

namespace rwkvd {
namespace {

using Floats =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstRows = Eigen::Map<const Floats, 0, Eigen::OuterStride<>>;

// Rows of sums that one thread takes at a time.
constexpr int64_t kTileRows = 64;
// Rows of x that are added up at a time, so that the order in which they are
// does not depend on the processor's caches.
constexpr int64_t kDepth = 128;

// Columns [first, first + num) of the rows.
ConstRows Columns(Rows x, int64_t first, int64_t num) {
  return {x.data + first, x.num, num, Eigen::OuterStride<>(x.width)};
}

// Adds a^T times the first `cols` columns of b to rows [begin, begin +
// a.cols()) of `sums`.
void AddProducts(const ConstRows& a, const ConstRows& b, int64_t cols,
                 int64_t begin, Eigen::Map<Floats> sums) {
  for (int64_t first = 0; first < a.rows(); first += kDepth) {
    const int64_t num = std::min<int64_t>(kDepth, a.rows() - first);
    sums.block(begin, 0, a.cols(), cols).noalias() +=
        a.middleRows(first, num).transpose() *
        b.middleRows(first, num).leftCols(cols);
  }
}

}  // namespace

void InputMoments::Watch(const std::byte* weights, int64_t cols,
                         int64_t stream_width) {
  RWKVD_CHECK(cols % kGroupCols == 0 && span_cols_ % kGroupCols == 0);
  const auto [found, is_new] = watched_.try_emplace(weights);
  if (!is_new) return;
  found->second.stream_width = stream_width;
  for (int64_t first = 0; first < cols; first += span_cols_) {
    const int64_t size = std::min(span_cols_, cols - first);
    found->second.spans.push_back(
        {.first_col = first,
         .cols = size,
         .sums = std::vector<float>(size * size),
         .wanted = std::vector<float>(size * size),
         .added = std::vector<float>(stream_width * size)});
  }
}

void InputMoments::OnOriginal(const Matrix& w, Rows x) {
  const auto found = watched_.find(w.data);
  if (found == watched_.end()) return;
  found->second.original.assign(x.data, x.data + x.num * x.width);
}

void InputMoments::OnRounded(const Matrix& w, Rows x) {
  const auto found = watched_.find(w.data);
  if (found == watched_.end()) return;
  Watched& watched = found->second;
  RWKVD_CHECK(static_cast<int64_t>(watched.original.size()) == x.num * x.width);
  watched.num += x.num;
  // What they lack.
  for (int64_t i = 0; i < x.num * x.width; ++i) {
    watched.original[i] -= x.data[i];
  }
  const Rows lack = {watched.original.data(), x.num, x.width};
  for (Span& span : watched.spans) AddPiece(watched, x, lack, span);
}

void InputMoments::AddPiece(const Watched& watched, Rows x, Rows lack,
                            Span& span) {
  const int64_t cols = span.cols, width = watched.stream_width;
  const ConstRows inputs = Columns(x, span.first_col, cols);
  const Eigen::Map<Floats> sums(span.sums.data(), cols, cols);
  const Eigen::Map<Floats> wanted(span.wanted.data(), cols, cols);
  const Eigen::Map<Floats> added(span.added.data(), width, cols);
  const int64_t tiles = (cols + kTileRows - 1) / kTileRows;
  const int64_t tiles_added = (width + kTileRows - 1) / kTileRows;
  pool_.ParallelFor(tiles + tiles_added, [&](int64_t tile) {
    if (tile >= tiles) {
      const int64_t begin = (tile - tiles) * kTileRows;
      const int64_t num = std::min(kTileRows, width - begin);
      return AddProducts(Columns(stream_lack_, begin, num), inputs, cols, begin,
                         added);
    }
    const int64_t begin = tile * kTileRows;
    const int64_t num = std::min(kTileRows, cols - begin);
    AddProducts(Columns(x, span.first_col + begin, num), inputs, begin + num,
                begin, sums);
    AddProducts(Columns(lack, span.first_col + begin, num), inputs, cols, begin,
                wanted);
  });
}

std::vector<Feedback> InputMoments::MakeFeedbacks(
    const std::byte* weights) const {
  const auto found = watched_.find(weights);
  RWKVD_CHECK(found != watched_.end());
  const Watched& watched = found->second;
  std::vector<std::optional<Feedback>> made(watched.spans.size());
  pool_.ParallelFor(static_cast<int64_t>(made.size()), [&](int64_t i) {
    const Span& span = watched.spans[i];
    made[i] = MakeCorrectingFeedback(span.sums.data(), span.cols, watched.num,
                                     span.wanted, span.added);
  });
  std::vector<Feedback> feedbacks;
  for (std::optional<Feedback>& feedback : made) {
    if (!feedback.has_value()) return {};
    feedbacks.push_back(*std::move(feedback));
  }
  return feedbacks;
}

}  // namespace rwkvd
