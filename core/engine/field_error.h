// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_FIELD_ERROR_H_
#define RWKVD_CORE_ENGINE_FIELD_ERROR_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// InvalidArgument for one field of a request, with the message
// "FIELD: PROBLEM". The field is named as in core's structs: "max_tokens",
// "prompt[3]", "items[0].continuations[2][5]".
absl::Status FieldError(absl::string_view field, absl::string_view problem);

// Returns `status` with its field renamed to rename(FIELD), for callers whose
// clients know the fields by other names. A status that FieldError did not make
// is returned unchanged.
absl::Status RenameField(
    const absl::Status& status,
    absl::FunctionRef<std::string(absl::string_view)> rename);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_FIELD_ERROR_H_
