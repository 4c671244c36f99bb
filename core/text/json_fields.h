// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_JSON_FIELDS_H_
#define RWKVD_CORE_TEXT_JSON_FIELDS_H_

#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/json.h"

namespace rwkvd {

// Checks of the fields of an untrusted JSON document. On failure, each returns
// InvalidArgument that says where, what was expected and what was found.
// `where` is the path of the checked value in the document.

using FieldNames = std::initializer_list<absl::string_view>;

// Returns the error for the value `got`.
absl::Status Unexpected(absl::string_view where, absl::string_view expected,
                        const Json& got);

// Returns OK if `holds` is true, else Unexpected.
absl::Status Expect(bool holds, absl::string_view where,
                    absl::string_view expected, const Json& got);

// Returns the field `name` of an object, or null if it is absent.
const Json& Field(const Json& object, absl::string_view name);

// Checks that `value` is an object with no fields other than `known`: an
// unknown field could change the meaning of the others.
absl::Status ExpectObject(const Json& value, absl::string_view where,
                          FieldNames known);

// Checks that each field of `names` is absent from `object`, null or false.
absl::Status ExpectFalse(const Json& object, absl::string_view where,
                         FieldNames names);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_JSON_FIELDS_H_
