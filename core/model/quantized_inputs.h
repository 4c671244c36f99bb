// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_QUANTIZED_INPUTS_H_
#define RWKVD_CORE_MODEL_QUANTIZED_INPUTS_H_

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "core/kernels/kernel_table.h"
#include "core/model/matrix.h"
#include "core/model/workspace.h"

namespace rwkvd {

// Whether a matmul with `w` takes quantized activations.
inline bool TakesQuantizedX(const Matrix& w) {
  return w.quantized.has_value() || w.ggml.has_value();
}

using QuantizedInputs = absl::InlinedVector<QuantizedActivations, 8>;

// Quantizes x for each of `ops` whose weights take that, in the workspace's
// scratch, in parallel if there is enough of it. The entries of the others are
// empty.
QuantizedInputs QuantizeInputs(const KernelTable& kernels, Workspace& workspace,
                               absl::Span<const MatMulOperands> ops);

// Returns rows [first, first + num) of x.
QuantizedActivations RowsOf(QuantizedActivations x, int64_t first, int64_t num);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_QUANTIZED_INPUTS_H_
