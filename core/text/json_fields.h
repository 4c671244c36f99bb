// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_JSON_FIELDS_H_
#define RWKVD_CORE_TEXT_JSON_FIELDS_H_

#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/json.h"

namespace rwkvd {

// Checks on the fields of a JSON document of untrusted origin. Each answers
// with InvalidArgument saying where, what was expected and what was found.

using FieldNames = std::initializer_list<absl::string_view>;

absl::Status Unexpected(absl::string_view where, absl::string_view expected,
                        const Json& got);

// OK if `holds`, else Unexpected.
absl::Status Expect(bool holds, absl::string_view where,
                    absl::string_view expected, const Json& got);

// The field `name` of an object; an absent one counts as null.
const Json& Field(const Json& object, absl::string_view name);

// An object with no fields but those that its reader knows: another one may
// change what the others mean.
absl::Status ExpectObject(const Json& value, absl::string_view where,
                          FieldNames known);

// Each of `names` is absent from `object`, null or false.
absl::Status ExpectFalse(const Json& object, absl::string_view where,
                         FieldNames names);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_JSON_FIELDS_H_
