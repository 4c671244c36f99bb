// SPDX-License-Identifier: Apache-2.0
#include "tests/service/errors/field_path.h"

#include <string>

#include "absl/strings/str_split.h"

namespace rwkvd {

bool IsFieldPath(absl::string_view path,
                 const google::protobuf::Descriptor& message) {
  const google::protobuf::Descriptor* type = &message;
  for (const absl::string_view step : absl::StrSplit(path, '.')) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(step, absl::MaxSplits('[', 1));
    if (type == nullptr) return false;
    const google::protobuf::FieldDescriptor* const field =
        type->FindFieldByName(parts.first);
    if (field == nullptr) return false;
    if (!parts.second.empty() && !field->is_repeated()) return false;
    type = field->message_type();
  }
  return true;
}

}  // namespace rwkvd
