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

// The most rows of sums per task.
constexpr int64_t kTileRows = 64;

bool AreFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return std::isfinite(value); });
}

}  // namespace

void HessianAccumulator::Append(Rows rows, int64_t num, Buffer& to) {
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

void HessianAccumulator::Track(const std::byte* weights, int64_t cols,
                               int64_t stream_width) {
  RWKVD_CHECK(cols % kGroupCols == 0 && span_cols_ % kGroupCols == 0);
  if (tracked_.contains(weights)) return;
  auto tracked = std::make_unique<Tracked>(cols, stream_width);
  for (int64_t first = 0; first < cols; first += span_cols_) {
    const int64_t size = std::min(span_cols_, cols - first);
    tracked->spans.push_back(
        {.first_col = first,
         .cols = size,
         .sums = std::vector<float>(size * size),
         .input_error = std::vector<float>(size * size),
         .stream_error = std::vector<float>(stream_width * size)});
  }
  tracked_.emplace(weights, std::move(tracked));
}

void HessianAccumulator::AddOriginal(const Matrix& w, Rows x) {
  const auto found = tracked_.find(w.data);
  if (found == tracked_.end()) return;
  found->second->original.assign(x.data, x.data + x.num * x.width);
}

void HessianAccumulator::AddRounded(const Matrix& w, Rows x) {
  const auto found = tracked_.find(w.data);
  if (found == tracked_.end()) return;
  Tracked& tracked = *found->second;
  std::vector<float>& error = tracked.original;
  RWKVD_CHECK(static_cast<int64_t>(error.size()) == x.num * x.width);
  kernels_.sub(error.data(), x.data, error.size(), error.data());
  for (int64_t done = 0; done < x.num;) {
    const int64_t num = std::min(x.num - done, kDepth - tracked.num_buffered);
    const auto part = [&](Rows rows) {
      return Rows{rows[done], num, rows.width};
    };
    Append(part(x), tracked.num_buffered, tracked.inputs);
    Append(part({error.data(), x.num, x.width}), tracked.num_buffered,
           tracked.input_error);
    if (tracked.stream_error.width > 0) {
      Append(part(stream_error_), tracked.num_buffered, tracked.stream_error);
    }
    tracked.num_buffered += num;
    done += num;
    if (tracked.num_buffered == kDepth) Flush(tracked);
  }
}

void HessianAccumulator::Flush(Tracked& tracked) {
  if (tracked.num_buffered == 0) return;
  for (Span& span : tracked.spans) AddTo(span, tracked);
  tracked.num += std::exchange(tracked.num_buffered, 0);
}

void HessianAccumulator::AddTo(Span& span, const Tracked& tracked) {
  const int64_t cols = span.cols, first = span.first_col;
  const int64_t width = tracked.stream_error.width;
  const int64_t tiles = (cols + kTileRows - 1) / kTileRows;
  const int64_t stream_tiles = (width + kTileRows - 1) / kTileRows;
  pool_.ParallelFor(tiles + stream_tiles, [&](int64_t tile) {
    if (tile >= tiles) {
      const int64_t begin = (tile - tiles) * kTileRows;
      return AddProducts(tracked, tracked.stream_error, begin,
                         std::min(kTileRows, width - begin), first, cols,
                         span.stream_error.data() + begin * cols, cols);
    }
    const int64_t begin = tile * kTileRows;
    const int64_t num = std::min(kTileRows, cols - begin);
    AddProducts(tracked, tracked.inputs, first + begin, num, first, begin + num,
                span.sums.data() + begin * cols, cols);
    AddProducts(tracked, tracked.input_error, first + begin, num, first, cols,
                span.input_error.data() + begin * cols, cols);
  });
}

void HessianAccumulator::AddProducts(const Tracked& tracked, const Buffer& a,
                                     int64_t begin, int64_t num,
                                     int64_t first_b, int64_t num_b,
                                     float* sums, int64_t stride) const {
  // So few rows at a time that they stay in the second-level cache.
  float products[kTileRows * kTileRows];
  for (int64_t b = 0; b < num_b; b += kTileRows) {
    const int64_t rows = std::min(kTileRows, num_b - b);
    kernels_.matmul({.dtype = DType::kF32,
                     .w = tracked.inputs.Channel(first_b + b),
                     .w_stride = kStride,
                     .cols = tracked.num_buffered,
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
  const auto found = tracked_.find(weights);
  RWKVD_CHECK(found != tracked_.end());
  Tracked& tracked = *found->second;
  Flush(tracked);
  std::vector<std::optional<GptqFactors>> made(tracked.spans.size());
  pool_.ParallelFor(static_cast<int64_t>(made.size()), [&](int64_t i) {
    Span& span = tracked.spans[i];
    if (!AreFinite(span.input_error) || !AreFinite(span.stream_error)) return;
    made[i] = MakeGptqFactors(span.sums.data(), span.cols, tracked.num);
    if (!made[i].has_value()) return;
    made[i]->input_error = std::move(span.input_error);
    made[i]->stream_error = std::move(span.stream_error);
  });
  std::vector<GptqFactors> factors;
  for (std::optional<GptqFactors>& span : made) {
    if (!span.has_value()) return {};
    factors.push_back(*std::move(span));
  }
  return factors;
}

}  // namespace rwkvd
