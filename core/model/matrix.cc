// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "core/base/check.h"
#include "core/kernels/gemm/tiling.h"
#include "core/model/matmul_interceptor.h"

namespace rwkvd {
namespace {

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The split of a matrix into tasks: what one thread multiplies at a time, by
// all rows of x. Counted in rows or, of quantized weights, in packed blocks.
struct Tasks {
  int64_t size;  // rows or packed blocks per task
  int64_t end;   // of the matrix
  int64_t num() const { return (end + size - 1) / size; }
};

Tasks TasksOf(const QuantizedWeights& w, int64_t num_x, int64_t threads) {
  const int64_t blocks = NumPackedBlocks(w.type, w.order, w.rows);
  if (w.order == QuantOrder::kColumnBlocks) return {1, blocks};
  if (num_x >= Tiling::kBatchMinX) {
    const int64_t shared = blocks / (Tiling::kTasksPerThread * threads);
    return {RoundUp(std::clamp<int64_t>(shared, 1, Tiling::kBatchMaxPanels),
                    Tiling::kBatchPanelMultiple),
            blocks};
  }
  const int64_t bytes = PackedBlockBytes(w.type, w.order, w.cols);
  return {RoundUp(std::max<int64_t>(1, Tiling::kQuantizedTaskBytes / bytes),
                  Tiling::kPanelMultiple),
          blocks};
}

// For `num_x` rows of x on `threads` threads.
Tasks TasksOf(const Matrix& w, int64_t num_x, int64_t threads) {
  if (w.quantized.has_value()) return TasksOf(*w.quantized, num_x, threads);
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
// are quantized.
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

// ---- Quantizing x for quantized weights.

using QuantizedInputs = absl::InlinedVector<QuantizedActivations, 8>;

// Lays out the quantized x of `op` in `scratch` from byte `at` on. Returns
// the byte after it. With null `scratch`, only measures.
int64_t LayOut(const KernelTable& kernels, const MatMulOperands& op,
               std::byte* scratch, int64_t at, QuantizedActivations* to) {
  const auto take = [&](int64_t size) {
    std::byte* const taken = scratch == nullptr ? nullptr : scratch + at;
    at += RoundUp(size, 64);
    return taken;
  };
  const QuantizedWeights& w = *op.w->quantized;
  const int64_t num = op.x.num, cols = op.x.width;
  to->num_rows = num;
  to->cols = cols;
  to->is_int16 = w.int16_activations;
  // A stride of 4 KiB or a multiple would map adjacent groups to the same cache
  // sets.
  to->stride = num % 64 == 0 ? num + 16 : num;
  const int64_t scales = to->groups() * to->stride;
  const bool whole_int16 =
      kernels.wants_int16_activations && w.type == QuantType::kInt8;
  const auto take_int8 = [&] {
    return reinterpret_cast<int8_t*>(take(scales * kGroupCols));
  };
  if (whole_int16) {
    const int64_t bytes = scales * kGroupCols * sizeof(int16_t);
    to->permuted_int16 = reinterpret_cast<int16_t*>(take(bytes));
  }
  if (!whole_int16 || !w.int16_activations) to->high = take_int8();
  if (!whole_int16 && w.int16_activations) to->low = take_int8();
  to->scales = reinterpret_cast<float*>(take(scales * sizeof(float)));
  to->offsets = reinterpret_cast<int32_t*>(take(scales * sizeof(int32_t)));
  return at;
}

// Counts a row's zeros in the workspace, if the matmul skips columns for them.
void CountZeros(const MatMulOperands& op, int64_t zeros, Workspace& workspace) {
  if (op.w->quantized->order != QuantOrder::kColumnBlocks) return;
  workspace.NoteInputs(op.x.width, zeros);
}

// Quantizes x for each of `ops` with quantized weights, in the workspace's
// scratch. The entries of the others are empty.
QuantizedInputs Quantize(const KernelTable& kernels, Workspace& workspace,
                         absl::Span<const MatMulOperands> ops) {
  QuantizedInputs inputs(ops.size());
  std::byte* scratch = nullptr;
  for (const bool measure : {true, false}) {
    int64_t size = 0;
    for (size_t i = 0; i < ops.size(); ++i) {
      if (!ops[i].w->quantized.has_value()) continue;
      size = LayOut(kernels, ops[i], scratch, size, &inputs[i]);
    }
    if (measure) scratch = workspace.Scratch(size);
  }
  int64_t elements = 0, most_rows = 0;
  for (const QuantizedActivations& input : inputs) {
    elements += input.num_rows * input.cols;
    most_rows = std::max(most_rows, input.num_rows);
  }
  const auto quantize = [&](int64_t row) {
    for (size_t i = 0; i < ops.size(); ++i) {
      if (row >= inputs[i].num_rows) continue;
      const int64_t zeros = kernels.quantize_row(ops[i].x[row], inputs[i], row);
      if (row == 0) CountZeros(ops[i], zeros, workspace);
    }
  };
  if (elements >= Tiling::kParallelQuantizeMinElements) {
    workspace.pool().ParallelFor(most_rows, quantize);
  } else {
    for (int64_t row = 0; row < most_rows; ++row) quantize(row);
  }
  return inputs;
}

// Returns rows [first, first + num) of x.
QuantizedActivations RowsOf(QuantizedActivations x, int64_t first,
                            int64_t num) {
  x.num_rows = num;
  const int64_t elements = first * kGroupCols;
  if (x.high != nullptr) x.high += elements;
  if (x.low != nullptr) x.low += elements;
  if (x.permuted_int16 != nullptr) x.permuted_int16 += elements;
  x.scales += first;
  x.offsets += first;
  return x;
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
  const QuantizedInputs inputs = Quantize(kernels, workspace, ops);
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
  const QuantizedInputs inputs = Quantize(kernels, workspace, {&all, 1});
  const Tasks tasks =
      TasksOf(*all.w, all.x.num, workspace.pool().num_threads());
  workspace.pool().ParallelFor(tasks.num(), [&](int64_t task) {
    for (MatMulOperands op : ops) {
      const int64_t first = (op.x.data - all.x.data) / all.x.width;
      const QuantizedActivations x = all.w->quantized.has_value()
                                         ? RowsOf(inputs[0], first, op.x.num)
                                         : QuantizedActivations();
      op.w = all.w;
      RunTask(kernels, op, x, tasks, task);
    }
  });
}

}  // namespace rwkvd
