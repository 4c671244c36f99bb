// SPDX-License-Identifier: Apache-2.0
#include "core/model/quantized_inputs.h"

#include <algorithm>

#include "core/kernels/gemm/tiling.h"

namespace rwkvd {
namespace {

// Hands out parts of a scratch memory, each at the start of a cache line; with
// null memory, only measures.
class Allocator {
 public:
  explicit Allocator(std::byte* memory) : memory_(memory) {}

  template <class T>
  T* Take(int64_t num) {
    constexpr int64_t kLine = Tiling::kCacheLineBytes;
    std::byte* const taken = memory_ == nullptr ? nullptr : memory_ + used_;
    const int64_t size = num * static_cast<int64_t>(sizeof(T));
    used_ += (size + kLine - 1) / kLine * kLine;
    return reinterpret_cast<T*>(taken);
  }
  int64_t used() const { return used_; }

 private:
  std::byte* const memory_;
  int64_t used_ = 0;
};

// A row of x whose length is not a multiple of kGroupCols is copied before it
// is quantized, followed by zeros.
struct Input {
  QuantizedActivations x;
  float* padded = nullptr;  // [num_rows, x.cols], or null
};
using Inputs = absl::InlinedVector<Input, 8>;

// What the weights say about the form of x.
struct Form {
  bool is_int16;
  bool takes_permuted;  // where the kernels want int16
  bool skips_columns;   // which the kernels choose by the bytes of x
  int64_t cols;
};

Form FormOf(const MatMulOperands& op) {
  if (op.w->ggml.has_value()) {
    const GgmlWeights& w = *op.w->ggml;
    return {w.int16_activations,
            w.int16_activations || !HasNarrowQuants(w.type), false, w.cols};
  }
  const QuantizedWeights& w = *op.w->quantized;
  return {w.int16_activations, w.type == QuantType::kInt8,
          w.order == QuantOrder::kColumnBlocks, op.x.width};
}

void LayOutForGgml(const GgmlWeights& w, Allocator& scratch, Input* to) {
  const GgmlLayout layout = GgmlLayoutOf(w.type);
  const int64_t runs =
      to->x.groups() * to->x.stride * (kGroupCols / layout.scale_cols);
  to->x.ggml = {.type = w.type,
                .factor = w.factor,
                .offsets = scratch.Take<int32_t>(runs)};
  if (layout.has_minimums) to->x.ggml.scaled = scratch.Take<float>(runs);
}

// Lays out the quantized x of `op`.
void LayOut(const KernelTable& kernels, const MatMulOperands& op,
            Allocator& scratch, Input* to) {
  const Form form = FormOf(op);
  const int64_t num = op.x.num;
  QuantizedActivations& x = to->x;
  x.num_rows = num;
  x.cols = form.cols;
  x.is_int16 = form.is_int16;
  // A stride of 4 KiB or a multiple would map adjacent groups to the same cache
  // sets.
  x.stride = num % 64 == 0 ? num + 16 : num;
  const int64_t scales = x.groups() * x.stride;
  const int64_t elements = scales * kGroupCols;
  const bool whole_int16 =
      kernels.wants_int16_activations && form.takes_permuted;
  if (whole_int16) x.permuted_int16 = scratch.Take<int16_t>(elements);
  if (!whole_int16 || form.skips_columns) {
    x.high = scratch.Take<int8_t>(elements);
  }
  if (!whole_int16 && x.is_int16) x.low = scratch.Take<int8_t>(elements);
  x.scales = scratch.Take<float>(scales);
  x.offsets = scratch.Take<int32_t>(scales);
  if (op.w->ggml.has_value()) LayOutForGgml(*op.w->ggml, scratch, to);
  if (op.x.width != x.cols) to->padded = scratch.Take<float>(num * x.cols);
}

// Counts a row's zeros in the workspace, if the matmul skips columns for them.
void CountZeros(const MatMulOperands& op, int64_t zeros, Workspace& workspace) {
  const auto& w = op.w->quantized;
  if (!w.has_value() || w->order != QuantOrder::kColumnBlocks) return;
  workspace.NoteInputs(op.x.width, zeros);
}

// Quantizes row `row`. Returns the number of elements that became zero.
int64_t QuantizeRow(const KernelTable& kernels, const MatMulOperands& op,
                    const Input& to, int64_t row) {
  const float* from = op.x[row];
  if (to.padded != nullptr) {
    float* const padded = to.padded + row * to.x.cols;
    std::fill(std::copy_n(from, op.x.width, padded), padded + to.x.cols, 0.0f);
    from = padded;
  }
  return kernels.quantize_row(from, to.x, row);
}

Inputs LayOutAll(const KernelTable& kernels, Workspace& workspace,
                 absl::Span<const MatMulOperands> ops) {
  Inputs inputs(ops.size());
  std::byte* memory = nullptr;
  for (const bool measure : {true, false}) {
    Allocator scratch(memory);
    for (size_t i = 0; i < ops.size(); ++i) {
      if (!TakesQuantizedX(*ops[i].w)) continue;
      LayOut(kernels, ops[i], scratch, &inputs[i]);
    }
    if (measure) memory = workspace.Scratch(scratch.used());
  }
  return inputs;
}

}  // namespace

QuantizedInputs QuantizeInputs(const KernelTable& kernels, Workspace& workspace,
                               absl::Span<const MatMulOperands> ops) {
  const Inputs inputs = LayOutAll(kernels, workspace, ops);
  QuantizedInputs result;
  int64_t elements = 0, most_rows = 0;
  for (const Input& input : inputs) {
    result.push_back(input.x);
    elements += input.x.num_rows * input.x.cols;
    most_rows = std::max(most_rows, input.x.num_rows);
  }
  const auto quantize = [&](int64_t row) {
    for (size_t i = 0; i < ops.size(); ++i) {
      if (row >= inputs[i].x.num_rows) continue;
      const int64_t zeros = QuantizeRow(kernels, ops[i], inputs[i], row);
      if (row == 0) CountZeros(ops[i], zeros, workspace);
    }
  };
  if (elements >= Tiling::kParallelQuantizeMinElements) {
    workspace.pool().ParallelFor(most_rows, quantize);
  } else {
    for (int64_t row = 0; row < most_rows; ++row) quantize(row);
  }
  return result;
}

QuantizedActivations RowsOf(QuantizedActivations x, int64_t first,
                            int64_t num) {
  const auto move = [first](auto*& from, int64_t elements) {
    if (from != nullptr) from += first * elements;
  };
  x.num_rows = num;
  move(x.high, kGroupCols);
  move(x.low, kGroupCols);
  move(x.permuted_int16, kGroupCols);
  move(x.scales, 1);
  move(x.offsets, 1);
  if (x.ggml.offsets != nullptr) {
    const int64_t runs = kGroupCols / GgmlLayoutOf(x.ggml.type).scale_cols;
    move(x.ggml.offsets, runs);
    move(x.ggml.scaled, runs);
  }
  return x;
}

}  // namespace rwkvd
