// SPDX-License-Identifier: Apache-2.0
#include "service/convert/model_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/quote.h"
#include "google/protobuf/descriptor.h"

namespace rwkvd {

absl::Status CheckRequestedModel(const google::protobuf::Message& request,
                                 absl::string_view served) {
  const google::protobuf::FieldDescriptor* const field =
      request.GetDescriptor()->FindFieldByName("model");
  if (field == nullptr) return absl::OkStatus();
  std::string unused;  // protobuf copies only strings that are not contiguous
  const std::string& name =
      request.GetReflection()->GetStringReference(request, field, &unused);
  if (name.empty() || name == served) return absl::OkStatus();
  return WithResource(
      FieldError(
          ErrorReason::kModelNotFound, "model",
          absl::StrCat(Quoted(name), " is not served here; this server serves ",
                       Quoted(served))),
      "model", name);
}

}  // namespace rwkvd
