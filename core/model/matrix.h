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

// Weights [rows, cols]. A view: valid as long as the checkpoint that it came
// from. Thread-safe (immutable).
//
// Row-major or column-major (PyTorch saves some matrices transposed, and RWKV-6
// and 7 define some that way), with bit-identical results; or quantized; or
// packed from a block type of GGML. An embedding, of which only rows are looked
// up, can have a block type itself; it is row-major.
struct Matrix {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;  // at any alignment
  int64_t stride = 0;  // elements from one stored row (or column) to the next
  bool transposed = false;  // column-major
  // If one of these is present, it replaces everything above but rows and cols.
  std::optional<QuantizedWeights> quantized;
  std::optional<GgmlWeights> ggml;
};

// One matmul: y [n, w->rows] = x [n, w->cols] times w transposed.
struct MatMulOperands {
  const Matrix* w;
  Rows x;
  Rows y;
};

// Computes all of `ops`, no output of which overlaps an input. All run as one
// parallel loop, so that threads synchronize once, at the end (and once at the
// beginning, if a large x is to be quantized). Batch-invariant.
void MatMul(const KernelTable& kernels, Workspace& workspace,
            absl::Span<const MatMulOperands> ops);

// The same for ops that have one matrix, and whose rows of x follow one another
// while their rows of y are scattered: each task multiplies its part of the
// matrix by the rows of all ops before the next part is read.
void MatMulIntoScatteredRows(const KernelTable& kernels, Workspace& workspace,
                             absl::Span<const MatMulOperands> ops);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATRIX_H_
