// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MATRIX_H_
#define RWKVD_CORE_MODEL_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "core/base/dtype.h"
#include "core/kernels/kernel_table.h"
#include "core/model/rows.h"
#include "core/model/workspace.h"

namespace rwkvd {

// Weights [rows, cols] where they are mapped. A view: valid as long as the
// checkpoint it came from. Thread-safe (immutable).
//
// Stored as rows, `stride` elements apart, or as columns: PyTorch saves some
// matrices transposed, and RWKV-6 and 7 define some that way. The products are
// the same, bit for bit. Or quantized, which has its own ways to store them.
struct Matrix {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;  // at any alignment
  int64_t stride = 0;               // from a stored row (column) to the next
  bool transposed = false;          // stored as columns
  // In place of all this but rows and cols.
  std::optional<QuantizedWeights> quantized;
};

// y [n, w->rows] = x [n, w->cols] times w transposed.
struct Product {
  const Matrix* w;
  Rows x;
  Rows y;
};

// Computes all `products`, whose outputs are apart from their inputs, as one
// parallel loop: the threads meet once, at the end (and where x is to be
// quantized and large, at the beginning). Batch-invariant.
void MatMul(const KernelTable& kernels, Workspace& workspace,
            absl::Span<const Product> products);

// The same for products of one matrix with rows that lie behind one another in
// x, but not in y: each part of the matrix meets all of them before the next
// is read.
void MatMulIntoScatteredRows(const KernelTable& kernels, Workspace& workspace,
                             absl::Span<const Product> products);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATRIX_H_
