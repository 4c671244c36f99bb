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

// Quantizes a packed block as QuantizePackedBlock does, except that what
// rounding takes from a column is made up for by those that are rounded later.
// `spans` are for columns one behind another, all of the packed block's
// together; nothing passes from one to the next.
//
// The scale of a group is that, of those which suit its columns as they would
// be if none of them were rounded, which leaves the least error when each
// becomes the nearest number. Then each is rounded up or down, whichever is
// best for the output: not all ways are tried, but the best few go on from
// column to column.
//
// Where the inputs do not go together and are all alike (moments that are a
// multiple of the identity), the bytes are those of QuantizePackedBlock.
//
// The bytes depend on the arguments alone. Thread-safe. False if
// a weight is not finite, or what is to make up for others: what was written
// then means nothing.
bool GptqQuantize(const QuantizeArgs& args,
                  absl::Span<const GptqFactors> spans);

// Quantizes `matrix`, for which FormOf returned `form`: corrects its rows with
// CorrectWeights, then rounds its packed blocks with GptqQuantize, in parallel.
// `spans` cover all columns. The bytes depend on the weights and `spans` alone.
// InvalidArgument as QuantizeMatrix.
absl::StatusOr<QuantizedMatrix> GptqQuantizeMatrix(
    const Tensor& matrix, QuantForm form, absl::Span<const GptqFactors> spans,
    ThreadPool& pool);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_GPTQ_GPTQ_QUANTIZE_H_
