// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MATRIX_H_
#define RWKVD_CORE_MODEL_MATRIX_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "core/base/dtype.h"
#include "core/base/thread_pool.h"
#include "core/kernels/kernels.h"

namespace rwkvd {

// Weights [rows, cols] where they are mapped. A view: valid as long as the
// checkpoint it came from. Thread-safe (immutable).
//
// Stored as rows, `stride` elements apart, or as columns: PyTorch saves some
// matrices transposed, and RWKV-6 and 7 define some that way. The products are
// the same, bit for bit.
struct Matrix {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;  // at any alignment
  int64_t stride = 0;               // from a stored row (column) to the next
  bool transposed = false;          // stored as columns
};

// Rows of f32 in a workspace or a caller's buffer, one behind the other.
struct Rows {
  float* data = nullptr;
  int64_t num = 0;
  int64_t width = 0;

  float* operator[](int64_t index) const { return data + index * width; }
};

// y [n, w->rows] = x [n, w->cols] times w transposed.
struct Product {
  const Matrix* w;
  Rows x;
  Rows y;
};

// What the kernels are to be told of `w`; x and y are left to the caller.
MatMulArgs ArgsFor(const Matrix& w);

// Calls fn(begin, end) for ranges that together are the rows of `w`, side by
// side; sized for a product with `num_x` rows.
void ForEachBlock(ThreadPool& pool, const Matrix& w, int64_t num_x,
                  absl::FunctionRef<void(int64_t, int64_t)> fn);

// Computes all `products`, whose outputs are apart from their inputs, as one
// parallel loop: the threads meet once, at the end. Batch-invariant.
void MatMul(const KernelTable& kernels, ThreadPool& pool,
            absl::Span<const Product> products);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATRIX_H_
