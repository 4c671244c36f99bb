// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "core/base/check.h"
#include "core/kernels/gemm/tiling.h"
#include "core/model/matmul_interceptor.h"
#include "core/model/quantized_inputs.h"

namespace rwkvd {
namespace {

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The split of a matrix into tasks: what one thread multiplies at a time, by
// all rows of x. Counted in rows or, of quantized weights, in packed blocks;
// panels of a GGML block type count as such.
struct Tasks {
  int64_t size;  // rows or packed blocks per task
  int64_t end;   // of the matrix
  int64_t num() const { return (end + size - 1) / size; }
};

// Of `panels` row panels with `bytes` bytes each.
Tasks TasksOfPanels(int64_t panels, int64_t bytes, int64_t num_x,
                    int64_t threads) {
  if (num_x >= Tiling::kBatchMinX) {
    const int64_t shared = panels / (Tiling::kTasksPerThread * threads);
    return {RoundUp(std::clamp<int64_t>(shared, 1, Tiling::kBatchMaxPanels),
                    Tiling::kBatchPanelMultiple),
            panels};
  }
  return {RoundUp(std::max<int64_t>(1, Tiling::kQuantizedTaskBytes / bytes),
                  Tiling::kPanelMultiple),
          panels};
}

Tasks TasksOf(const QuantizedWeights& w, int64_t num_x, int64_t threads) {
  const int64_t blocks = NumPackedBlocks(w.type, w.order, w.rows);
  if (w.order == QuantOrder::kColumnBlocks) return {1, blocks};
  return TasksOfPanels(blocks, PackedBlockBytes(w.type, w.order, w.cols), num_x,
                       threads);
}

Tasks TasksOf(const GgmlWeights& w, int64_t num_x, int64_t threads) {
  return TasksOfPanels(NumGgmlPanels(w.rows), GgmlPanelBytes(w.type, w.cols),
                       num_x, threads);
}

// For `num_x` rows of x on `threads` threads.
Tasks TasksOf(const Matrix& w, int64_t num_x, int64_t threads) {
  if (w.quantized.has_value()) return TasksOf(*w.quantized, num_x, threads);
  if (w.ggml.has_value()) return TasksOf(*w.ggml, num_x, threads);
  const int64_t row_work = std::max<int64_t>(1, w.cols * num_x);
  const int64_t row_bytes =
      std::max<int64_t>(1, w.cols * static_cast<int64_t>(SizeOf(w.dtype)));
  const bool is_batch = num_x >= Tiling::kBatchMinX;
  const int64_t shared = w.rows / (Tiling::kTasksPerThread * threads);
  int64_t wanted = Tiling::kMinTaskWork / row_work + 1;
  int64_t bytes = Tiling::kMaxTaskBytes;
  if (is_batch) wanted = std::max(wanted, Tiling::kBatchMinRows);
  if (num_x >= Tiling::kPrefillMinX) {
    wanted = std::max(wanted, std::min(shared, Tiling::kPrefillMaxRows));
    bytes = Tiling::kPrefillMaxTaskBytes;
  }
  if (w.transposed && !is_batch) return {Tiling::kColMajorTaskRows, w.rows};
  if (w.dtype != DType::kF32) {
    const int64_t most = Tiling::kMax16BitRows[num_x == 1 ? 0
                                               : is_batch ? 2
                                                          : 1];
    return {RoundUp(std::min(most, std::max(wanted, shared)),
                    Tiling::k16BitRowMultiple),
            w.rows};
  }
  const int64_t cached = std::max<int64_t>(1, bytes / row_bytes);
  return {RoundUp(std::min(wanted, cached), w.transposed
                                                ? Tiling::kColMajorRowMultiple
                                                : Tiling::kRowMultiple),
          w.rows};
}

// Runs task number `task`. `x` is the quantized form of op.x, if the weights
// take that.
void RunTask(const KernelTable& kernels, const MatMulOperands& op,
             const QuantizedActivations& x, const Tasks& tasks, int64_t task) {
  const Matrix& w = *op.w;
  const int64_t begin = task * tasks.size;
  const int64_t end = std::min(begin + tasks.size, tasks.end);
  if (w.quantized.has_value()) {
    kernels.quantized_matmul({*w.quantized, x, op.y.data, op.y.width}, begin,
                             end);
    return;
  }
  if (w.ggml.has_value()) {
    kernels.ggml_matmul({*w.ggml, x, op.y.data, op.y.width}, begin, end);
    return;
  }
  kernels.matmul({.dtype = w.dtype,
                  .transposed = w.transposed,
                  .w = w.data,
                  .w_stride = w.stride,
                  .cols = w.cols,
                  .num_x = op.x.num,
                  .x = op.x.data,
                  .x_stride = op.x.width,
                  .y = op.y.data,
                  .y_stride = op.y.width},
                 begin, end);
}

void CheckSizes(const MatMulOperands& op) {
  RWKVD_CHECK(op.x.width == op.w->cols);
  RWKVD_CHECK(op.y.width == op.w->rows);
  RWKVD_CHECK(op.x.num == op.y.num);
}

using OperandsList = absl::InlinedVector<MatMulOperands, 16>;

// Returns `ops`, with the matrices that the interceptor returns, if there is
// one.
OperandsList Intercepted(Workspace& workspace,
                         absl::Span<const MatMulOperands> ops) {
  OperandsList intercepted(ops.begin(), ops.end());
  for (MatMulOperands& op : intercepted) {
    CheckSizes(op);
    if (workspace.interceptor() == nullptr) continue;
    op.w = &workspace.interceptor()->Intercept(*op.w, op.x);
  }
  return intercepted;
}

}  // namespace

void MatMul(const KernelTable& kernels, Workspace& workspace,
            absl::Span<const MatMulOperands> wanted) {
  const OperandsList ops = Intercepted(workspace, wanted);
  absl::InlinedVector<Tasks, 8> tasks;
  int64_t num_tasks = 0;
  for (const MatMulOperands& op : ops) {
    tasks.push_back(TasksOf(*op.w, op.x.num, workspace.pool().num_threads()));
    num_tasks += tasks.back().num();
  }
  const QuantizedInputs inputs = QuantizeInputs(kernels, workspace, ops);
  workspace.pool().ParallelFor(num_tasks, [&](int64_t task) {
    for (size_t i = 0; i < ops.size(); ++i) {
      if (task < tasks[i].num()) {
        return RunTask(kernels, ops[i], inputs[i], tasks[i], task);
      }
      task -= tasks[i].num();
    }
  });
}

void MatMulIntoScatteredRows(const KernelTable& kernels, Workspace& workspace,
                             absl::Span<const MatMulOperands> ops) {
  if (ops.empty()) return;
  MatMulOperands all = ops[0];
  for (const MatMulOperands& op : ops) {
    CheckSizes(op);
    RWKVD_CHECK(op.w == all.w);
    all.x.num = (op.x[op.x.num] - all.x.data) / all.x.width;
  }
  all.y.num = all.x.num;
  all = Intercepted(workspace, {&all, 1})[0];
  const QuantizedInputs inputs = QuantizeInputs(kernels, workspace, {&all, 1});
  const Tasks tasks =
      TasksOf(*all.w, all.x.num, workspace.pool().num_threads());
  workspace.pool().ParallelFor(tasks.num(), [&](int64_t task) {
    for (MatMulOperands op : ops) {
      const int64_t first = (op.x.data - all.x.data) / all.x.width;
      const QuantizedActivations x = TakesQuantizedX(*all.w)
                                         ? RowsOf(inputs[0], first, op.x.num)
                                         : QuantizedActivations();
      op.w = all.w;
      RunTask(kernels, op, x, tasks, task);
    }
  });
}

}  // namespace rwkvd
