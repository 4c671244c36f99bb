// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/gptq/hessian_accumulator.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/quant/layout.h"

namespace rwkvd {
namespace {

// Rows of sums that one thread takes at a time, at most.
constexpr int64_t kTileRows = 64;

bool AreFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

}  // namespace

void HessianAccumulator::Gather(Rows rows, int64_t num, Gathered& to) {
  const int64_t tiles = (to.width + kTileRows - 1) / kTileRows;
  pool_.ParallelFor(tiles, [&](int64_t tile) {
    const int64_t begin = tile * kTileRows;
    const int64_t end = std::min(to.width, begin + kTileRows);
    for (int64_t row = 0; row < rows.num; ++row) {
      for (int64_t i = begin; i < end; ++i) {
        to.values[i * kStride + num + row] = rows[row][i];
      }
    }
  });
}

void HessianAccumulator::Watch(const std::byte* weights, int64_t cols,
                               int64_t stream_width) {
  RWKVD_CHECK(cols % kGroupCols == 0 && span_cols_ % kGroupCols == 0);
  if (watched_.contains(weights)) return;
  auto watched = std::make_unique<Watched>(cols, stream_width);
  for (int64_t first = 0; first < cols; first += span_cols_) {
    const int64_t size = std::min(span_cols_, cols - first);
    watched->spans.push_back(
        {.first_col = first,
         .cols = size,
         .sums = std::vector<float>(size * size),
         .wanted = std::vector<float>(size * size),
         .added = std::vector<float>(stream_width * size)});
  }
  watched_.emplace(weights, std::move(watched));
}

void HessianAccumulator::OnOriginal(const Matrix& w, Rows x) {
  const auto found = watched_.find(w.data);
  if (found == watched_.end()) return;
  found->second->original.assign(x.data, x.data + x.num * x.width);
}

void HessianAccumulator::OnRounded(const Matrix& w, Rows x) {
  const auto found = watched_.find(w.data);
  if (found == watched_.end()) return;
  Watched& watched = *found->second;
  std::vector<float>& lack = watched.original;
  RWKVD_CHECK(static_cast<int64_t>(lack.size()) == x.num * x.width);
  kernels_.sub(lack.data(), x.data, lack.size(), lack.data());
  for (int64_t done = 0; done < x.num;) {
    const int64_t num = std::min(x.num - done, kDepth - watched.num_gathered);
    const auto part = [&](Rows rows) {
      return Rows{rows[done], num, rows.width};
    };
    Gather(part(x), watched.num_gathered, watched.inputs);
    Gather(part({lack.data(), x.num, x.width}), watched.num_gathered,
           watched.lack);
    if (watched.stream_lack.width > 0) {
      Gather(part(stream_lack_), watched.num_gathered, watched.stream_lack);
    }
    watched.num_gathered += num;
    done += num;
    if (watched.num_gathered == kDepth) AddUp(watched);
  }
}

void HessianAccumulator::AddUp(Watched& watched) {
  if (watched.num_gathered == 0) return;
  for (Span& span : watched.spans) AddUp(watched, span);
  watched.num += std::exchange(watched.num_gathered, 0);
}

void HessianAccumulator::AddUp(const Watched& watched, Span& span) {
  const int64_t cols = span.cols, first = span.first_col;
  const int64_t width = watched.stream_lack.width;
  const int64_t tiles = (cols + kTileRows - 1) / kTileRows;
  const int64_t tiles_added = (width + kTileRows - 1) / kTileRows;
  pool_.ParallelFor(tiles + tiles_added, [&](int64_t tile) {
    if (tile >= tiles) {
      const int64_t begin = (tile - tiles) * kTileRows;
      return AddProducts(watched, watched.stream_lack, begin,
                         std::min(kTileRows, width - begin), first, cols,
                         span.added.data() + begin * cols, cols);
    }
    const int64_t begin = tile * kTileRows;
    const int64_t num = std::min(kTileRows, cols - begin);
    AddProducts(watched, watched.inputs, first + begin, num, first, begin + num,
                span.sums.data() + begin * cols, cols);
    AddProducts(watched, watched.lack, first + begin, num, first, cols,
                span.wanted.data() + begin * cols, cols);
  });
}

void HessianAccumulator::AddProducts(const Watched& watched, const Gathered& a,
                                     int64_t begin, int64_t num,
                                     int64_t first_b, int64_t num_b,
                                     float* sums, int64_t stride) const {
  // Of so few rows at a time that they stay in the second-level cache.
  float products[kTileRows * kTileRows];
  for (int64_t b = 0; b < num_b; b += kTileRows) {
    const int64_t rows = std::min(kTileRows, num_b - b);
    kernels_.matmul({.dtype = DType::kF32,
                     .w = watched.inputs.Channel(first_b + b),
                     .w_stride = kStride,
                     .cols = watched.num_gathered,
                     .num_x = num,
                     .x = a.Channel(begin),
                     .x_stride = kStride,
                     .y = products,
                     .y_stride = kTileRows},
                    0, rows);
    for (int64_t i = 0; i < num; ++i) {
      kernels_.add(products + i * kTileRows, rows, sums + i * stride + b);
    }
  }
}

std::vector<GptqFactors> HessianAccumulator::MakeFactors(
    const std::byte* weights) {
  const auto found = watched_.find(weights);
  RWKVD_CHECK(found != watched_.end());
  Watched& watched = *found->second;
  AddUp(watched);
  std::vector<std::optional<GptqFactors>> made(watched.spans.size());
  pool_.ParallelFor(static_cast<int64_t>(made.size()), [&](int64_t i) {
    Span& span = watched.spans[i];
    if (!AreFinite(span.wanted) || !AreFinite(span.added)) return;
    made[i] = MakeGptqFactors(span.sums.data(), span.cols, watched.num);
    if (!made[i].has_value()) return;
    made[i]->wanted = std::move(span.wanted);
    made[i]->added = std::move(span.added);
  });
  std::vector<GptqFactors> factors;
  for (std::optional<GptqFactors>& span : made) {
    if (!span.has_value()) return {};
    factors.push_back(*std::move(span));
  }
  return factors;
}

}  // namespace rwkvd
