// SPDX-License-Identifier: Apache-2.0
#include "core/engine/field_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

// The payload of a field error: the field's name.
constexpr char kFieldPayload[] = "rwkvd/field";

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view problem) {
  absl::Status status =
      absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

absl::Status RenameField(
    const absl::Status& status,
    absl::FunctionRef<std::string(absl::string_view)> rename) {
  const auto payload = status.GetPayload(kFieldPayload);
  if (!payload.has_value()) return status;
  const std::string field(*payload);
  return absl::Status(
      status.code(),
      absl::StrCat(rename(field), status.message().substr(field.size())));
}

}  // namespace rwkvd
