// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_QUANTIZED_PIECES_H_
#define RWKVD_TOOLS_RWKV_CONVERT_QUANTIZED_PIECES_H_

#include <cstddef>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/file_pages.h"

namespace rwkvd {

// Quantizes a matrix, some packed blocks at a time to use little memory; if
// `calibration` is not null, takes the whole quantized matrix from it instead.
// Calls `write` with one part of the quants after another, as they are stored,
// and returns the bytes of all scales. Errors are those of
// QuantizePackedBlocks, of Calibration::Take, which reports its progress to
// `progress`, and of `write`.
absl::StatusOr<std::vector<std::byte>> QuantizeInPieces(
    const Tensor& matrix, QuantForm form, Calibration* calibration,
    Calibration::OnProgress progress, const FilePages& pages, ThreadPool& pool,
    absl::FunctionRef<absl::Status(absl::Span<const std::byte>)> write);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_QUANTIZED_PIECES_H_
