// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_QUANTIZE_MATRIX_H_
#define RWKVD_CORE_QUANTIZE_MATRIX_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor.h"
#include "core/kernels/quant/layout.h"
#include "core/quantize/rounding.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// Quantizes one packed block of a matrix, whose first row is `first_row` of the
// matrix. Returns false if a weight is not finite. Called by several threads at
// the same time.
using PackedBlockQuantizer =
    absl::FunctionRef<bool(int64_t first_row, const QuantizeArgs& args)>;

// Rounds each weight to the nearest number: QuantizePackedBlock.
bool RoundToNearest(int64_t first_row, const QuantizeArgs& args);

// Quantizes packed blocks [first, first + num) of `matrix`, [rows, cols], in
// parallel. `form` is what FormOf returned for the matrix. `quants` and
// `scales` have room for `num` packed blocks and receive what a checkpoint
// stores. The bytes depend on the weights and `quantize` alone. InvalidArgument
// names the rows of the first packed block that has a weight that is not
// finite.
absl::Status QuantizePackedBlocks(
    const Tensor& matrix, QuantForm form, int64_t first, int64_t num,
    ThreadPool& pool, uint8_t* quants, uint16_t* scales,
    PackedBlockQuantizer quantize = RoundToNearest);

// A quantized matrix in memory of its own. A value; moving it leaves the arrays
// where they are.
struct QuantizedMatrix {
  // [packed blocks, bytes of a packed block]
  AlignedVector<uint8_t> quants;
  // [packed blocks, groups, rows of a packed block]
  std::vector<uint16_t> scales;
};

// Quantizes all packed blocks of `matrix` as QuantizePackedBlocks does.
absl::StatusOr<QuantizedMatrix> QuantizeMatrix(
    const Tensor& matrix, QuantForm form, ThreadPool& pool,
    PackedBlockQuantizer quantize = RoundToNearest);

}  // namespace rwkvd

#endif  // RWKVD_CORE_QUANTIZE_MATRIX_H_
