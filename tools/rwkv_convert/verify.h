// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_VERIFY_H_
#define RWKVD_TOOLS_RWKV_CONVERT_VERIFY_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/conversion.h"

namespace rwkvd {

using VerifyProgress =
    absl::FunctionRef<absl::Status(absl::string_view, int64_t, int64_t)>;

// Checks that `written` holds the tensors of `source`, and no others, under the
// same native names, with the same shapes and every element as conversion to
// `target` should give it. Rounding is checked by its definition, in double
// precision, and not by the code that rounds; what is quantized is quantized
// once more, on `pool`, with what `calibration` says, unless that is nullptr.
// DataLoss if anything differs: which tensor, which
// element, expected and got. `progress` is told the bytes compared, and can end
// it.
absl::Status Verify(const TensorFile& source, const TensorFile& written,
                    const Target& target, ThreadPool& pool,
                    Calibration* calibration, VerifyProgress progress);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_VERIFY_H_
