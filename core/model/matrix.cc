// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix.h"

#include <algorithm>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// A block is the rows of weights that one thread takes at a time. Large enough
// to outweigh the handing over (some tens of nanoseconds of arithmetic each),
// small enough that its weights stay in the second-level cache while all rows
// of x pass by.
constexpr int64_t kMinBlockWork = 1 << 16;   // multiplications
constexpr int64_t kMaxBlockBytes = 1 << 18;  // of weights
// Of the kernels' tiles: four rows, or, of weights stored as columns, a cache
// line of them.
constexpr int64_t kRowMultiple = 4;
constexpr int64_t kTransposedRowMultiple = 32;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t BlockRows(const Matrix& w, int64_t num_x) {
  const int64_t row_work = std::max<int64_t>(1, w.cols * num_x);
  const int64_t row_bytes =
      std::max<int64_t>(1, w.cols * static_cast<int64_t>(SizeOf(w.dtype)));
  const int64_t wanted = kMinBlockWork / row_work + 1;
  const int64_t cached = std::max<int64_t>(1, kMaxBlockBytes / row_bytes);
  return RoundUp(std::min(wanted, cached),
                 w.transposed ? kTransposedRowMultiple : kRowMultiple);
}

int64_t NumBlocks(const Matrix& w, int64_t num_x) {
  const int64_t rows = BlockRows(w, num_x);
  return (w.rows + rows - 1) / rows;
}

void RunBlock(const KernelTable& kernels, const Product& product,
              int64_t block) {
  const Matrix& w = *product.w;
  const int64_t rows = BlockRows(w, product.x.num);
  MatMulArgs args = ArgsFor(w);
  args.num_x = product.x.num;
  args.x = product.x.data;
  args.x_stride = product.x.width;
  args.y = product.y.data;
  args.y_stride = product.y.width;
  kernels.matmul(args, block * rows, std::min((block + 1) * rows, w.rows));
}

}  // namespace

MatMulArgs ArgsFor(const Matrix& w) {
  return {.dtype = w.dtype,
          .transposed = w.transposed,
          .w = w.data,
          .w_stride = w.stride,
          .cols = w.cols};
}

void ForEachBlock(ThreadPool& pool, const Matrix& w, int64_t num_x,
                  absl::FunctionRef<void(int64_t, int64_t)> fn) {
  const int64_t rows = BlockRows(w, num_x);
  pool.ParallelFor(NumBlocks(w, num_x), [&](int64_t block) {
    fn(block * rows, std::min((block + 1) * rows, w.rows));
  });
}

void MatMul(const KernelTable& kernels, ThreadPool& pool,
            absl::Span<const Product> products) {
  int64_t num_blocks = 0;
  for (const Product& product : products) {
    RWKVD_CHECK(product.x.width == product.w->cols);
    RWKVD_CHECK(product.y.width == product.w->rows);
    RWKVD_CHECK(product.x.num == product.y.num);
    num_blocks += NumBlocks(*product.w, product.x.num);
  }
  pool.ParallelFor(num_blocks, [&](int64_t block) {
    for (const Product& product : products) {
      const int64_t blocks = NumBlocks(*product.w, product.x.num);
      if (block < blocks) return RunBlock(kernels, product, block);
      block -= blocks;
    }
  });
}

}  // namespace rwkvd
