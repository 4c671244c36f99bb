// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_ERRORS_FIELD_PATH_H_
#define RWKVD_TESTS_SERVICE_ERRORS_FIELD_PATH_H_

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace rwkvd {

// Whether `path` names a field of `message`, such as "items[0].context.text".
// An index belongs to a repeated field.
bool IsFieldPath(absl::string_view path,
                 const google::protobuf::Descriptor& message);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_ERRORS_FIELD_PATH_H_
