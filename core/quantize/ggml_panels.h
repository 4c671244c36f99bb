// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_QUANTIZE_GGML_PANELS_H_
#define RWKVD_CORE_QUANTIZE_GGML_PANELS_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "core/base/aligned_buffer.h"
#include "core/base/dtype.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor.h"
#include "core/kernels/ggml/layout.h"

namespace rwkvd {

// Whether the matrix `name` of this block type is multiplied by int16
// activations instead of int8 ones, if precision counts most: docs/numerics.md
// gives the reasons.
bool TakesInt16Activations(DType type, absl::string_view name);

// One panel's rows of a matrix of a block type, as a GGUF file stores them.
struct GgmlRows {
  DType type = DType::kQ8_0;
  const std::byte* blocks = nullptr;  // of the first row
  int64_t stride = 0;                 // bytes from one row to the next
  int64_t rows = 0;                   // at most kPanelRows
  int64_t cols = 0;                   // a multiple of BlockElements(type)
};

// Repacks rows for the kernels (core/kernels/ggml/layout.h) into `panel`
// [GgmlPanelBytes(type, cols)]. No number changes.
void PackGgmlPanel(const GgmlRows& rows, uint8_t* panel);

// Repacks a matrix [rows, cols] of a block type, whose rows lie in blocks, in
// parallel: [NumGgmlPanels(rows)][GgmlPanelBytes(type, cols)].
AlignedVector<uint8_t> PackGgmlPanels(const Tensor& matrix, ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_CORE_QUANTIZE_GGML_PANELS_H_
