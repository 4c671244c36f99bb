// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_QUANTIZE_MATRIX_H_
#define RWKVD_CORE_MODEL_QUANTIZE_MATRIX_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/aligned_buffer.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor.h"
#include "core/kernels/feedback.h"
#include "core/kernels/quantized.h"
#include "core/model/quantization.h"

namespace rwkvd {

// Quantizes stripes [first, first + num) of `matrix`, [rows, cols], for which
// FormOf gave `form`, side by side. `quants` and `scales` have room for so many
// and are what a checkpoint stores. `feedback`, if there is any, is for all
// columns (compensate.h). The bytes depend on nothing but the weights, and on
// it. InvalidArgument names the rows, if a weight is not finite.
absl::Status QuantizeStripes(const Tensor& matrix, QuantForm form,
                             absl::Span<const Feedback> feedback, int64_t first,
                             int64_t num, ThreadPool& pool, uint8_t* quants,
                             uint16_t* scales);

// A quantized matrix in memory of its own. A value; moving it leaves the arrays
// where they are.
struct QuantizedMatrix {
  AlignedVector<uint8_t> quants;  // [stripes, bytes of a stripe]
  std::vector<uint16_t> scales;   // [stripes, groups, rows of a stripe]
};

// All of `matrix`, as above.
absl::StatusOr<QuantizedMatrix> QuantizeMatrix(
    const Tensor& matrix, QuantForm form, absl::Span<const Feedback> feedback,
    ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_QUANTIZE_MATRIX_H_
