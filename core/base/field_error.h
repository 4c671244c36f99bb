// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FIELD_ERROR_H_
#define RWKVD_CORE_BASE_FIELD_ERROR_H_

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/error_reason.h"

namespace rwkvd {

// The error of one field of a request, with the message "FIELD: PROBLEM". The
// field is named as in core's structs: "max_tokens", "prompt[3]",
// "items[0].continuations[2][5]". Without `reason`: kFieldInvalid.
absl::Status FieldError(absl::string_view field, absl::string_view problem);
absl::Status FieldError(ErrorReason reason, absl::string_view field,
                        absl::string_view problem);

// `status`, which is not OK and names no field, as an error of `field`.
absl::Status InField(absl::string_view field, const absl::Status& status);

// Sets the field of `status`, whose message begins with the field already.
absl::Status WithField(absl::Status status, absl::string_view field);

// The field of an error, if it is that of a field.
std::optional<std::string> FieldOf(const absl::Status& status);

// Returns `status` with its field renamed to rename(FIELD), for callers whose
// clients know the fields by other names. A status without a field is returned
// unchanged.
absl::Status RenameField(
    const absl::Status& status,
    absl::FunctionRef<std::string(absl::string_view)> rename);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FIELD_ERROR_H_
