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

// Checks that `written` holds exactly the tensors of `source`, with the same
// native names and shapes, and that every element is what the conversion to
// `target` should give. Rounding is checked by its definition in double
// precision, not with the code that rounds. Quantized matrices are quantized
// once more, on `pool`, with `calibration` unless that is nullptr, and
// compared.
//
// DataLoss if anything differs; the message says which tensor and element, and
// the expected and the found value. `progress` receives the number of compared
// bytes and can end the verification with an error.
absl::Status Verify(const TensorFile& source, const TensorFile& written,
                    const Target& target, ThreadPool& pool,
                    Calibration* calibration, VerifyProgress progress);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_VERIFY_H_
