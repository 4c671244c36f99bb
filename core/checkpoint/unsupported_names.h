// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_UNSUPPORTED_NAMES_H_
#define RWKVD_CORE_CHECKPOINT_UNSUPPORTED_NAMES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/file_error.h"

namespace rwkvd {

// Checks the names of all tensors of a file, as they are stored. Returns
// InvalidArgument if one of them shows that the file holds a variant of RWKV,
// another architecture or a format of quantized weights that is known but not
// supported; the message names it and the tensor. Accepts all other names.
//
// Call it before anything else about the tensors is examined: their types and
// shapes would otherwise give an error that hides the real reason.
absl::Status CheckSupported(absl::Span<const absl::string_view> names,
                            const FileError& error);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_UNSUPPORTED_NAMES_H_
