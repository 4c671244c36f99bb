// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_MISSING_BYTES_H_
#define RWKVD_CORE_TEXT_MISSING_BYTES_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// InvalidArgument, naming those of the 256 bytes that are no token of the
// vocabulary `name`: without them some text could not be encoded.
absl::Status CheckEveryByteIsAToken(
    absl::string_view name,
    absl::FunctionRef<bool(absl::string_view byte)> is_token);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_MISSING_BYTES_H_
