// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_QUANTIZE_H_
#define RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_QUANTIZE_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor.h"
#include "core/quantize/matrix.h"
#include "core/quantize/rounding.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/gptq/gptq_factors.h"

namespace rwkvd {

// Quantizes one packed block as QuantizePackedBlock does, but lets the columns
// that are rounded later compensate for the errors of those before. `spans` are
// the factors of consecutive runs of columns, which together are all columns.
// Errors are not carried from one run to the next.
//
// The scale of a group is the one with the smallest error when each of its
// columns is rounded to nearest, among those that fit the columns as they would
// be without rounding. Each column is then rounded up or down by a beam search
// for the smallest error of the output.
//
// If the inputs are uncorrelated and have equal moments (the Hessian is a
// multiple of the identity), the bytes are those of QuantizePackedBlock.
//
// The bytes depend on the arguments alone. Thread-safe. Returns false if a
// weight or a compensated weight is not finite; the output is then unspecified.
bool GptqQuantize(const QuantizeArgs& args,
                  absl::Span<const GptqFactors> spans);

// Quantizes `matrix`, for which FormOf returned `form`: corrects its rows
// (CorrectWeights), then rounds its packed blocks (GptqQuantize), in parallel.
// `spans` are as above. The bytes depend on the weights and `spans` alone.
// InvalidArgument as QuantizeMatrix.
absl::StatusOr<QuantizedMatrix> GptqQuantizeMatrix(
    const Tensor& matrix, QuantForm form, absl::Span<const GptqFactors> spans,
    ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_QUANTIZE_H_
