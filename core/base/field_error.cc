// SPDX-License-Identifier: Apache-2.0
#include "core/base/field_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace rwkvd {
namespace {

// The payload of a field error: the field's name.
constexpr char kFieldPayload[] = "rwkvd/field";

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view problem) {
  return FieldError(ErrorReason::kFieldInvalid, field, problem);
}

absl::Status FieldError(ErrorReason reason, absl::string_view field,
                        absl::string_view problem) {
  return InField(field, MakeError(reason, problem));
}

absl::Status InField(absl::string_view field, const absl::Status& status) {
  return WithField(
      WithMessage(status, absl::StrCat(field, ": ", status.message())), field);
}

absl::Status WithField(absl::Status status, absl::string_view field) {
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

std::optional<std::string> FieldOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kFieldPayload);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

absl::Status RenameField(
    const absl::Status& status,
    absl::FunctionRef<std::string(absl::string_view)> rename) {
  const std::optional<std::string> field = FieldOf(status);
  if (!field.has_value()) return status;
  const std::string name = rename(*field);
  return WithField(
      WithMessage(status,
                  absl::StrCat(name, status.message().substr(field->size()))),
      name);
}

}  // namespace rwkvd
