// SPDX-License-Identifier: Apache-2.0
#include "core/text/json_fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// A value in the form that messages show: a string in quotes.
std::string ShownValue(const Json& value) {
  if (value.is_structured()) return absl::StrCat("an ", value.type_name());
  if (!value.is_string()) return value.dump();
  return Quoted(value.get_ref<const std::string&>());
}

bool IsFalseOrAbsent(const Json& value) {
  return value.is_null() || value == false;
}

}  // namespace

absl::Status Unexpected(absl::string_view where, absl::string_view expected,
                        const Json& got) {
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": expected ", expected, ", got ", ShownValue(got)));
}

absl::Status Expect(bool holds, absl::string_view where,
                    absl::string_view expected, const Json& got) {
  return holds ? absl::OkStatus() : Unexpected(where, expected, got);
}

const Json& Field(const Json& object, absl::string_view name) {
  static const Json& null = *new Json();
  const auto at = object.find(std::string(name));
  return at == object.end() ? null : *at;
}

absl::Status ExpectObject(const Json& value, absl::string_view where,
                          FieldNames known) {
  RWKVD_RETURN_IF_ERROR(Expect(value.is_object(), where, "an object", value));
  for (const auto& [name, unused] : value.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": the field ", Quoted(name), " is not supported"));
    }
  }
  return absl::OkStatus();
}

absl::Status ExpectFalse(const Json& object, absl::string_view where,
                         FieldNames names) {
  for (const absl::string_view name : names) {
    const Json& value = Field(object, name);
    RWKVD_RETURN_IF_ERROR(Expect(IsFalseOrAbsent(value),
                                 absl::StrCat(where, ".", name), "false",
                                 value));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
