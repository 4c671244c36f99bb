// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_MODEL_CHECK_H_
#define RWKVD_SERVICE_CONVERT_MODEL_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace rwkvd {

// NotFound, with the name of the served model, if the field `model` of a
// request has another name. OK if it is empty, which stands for any model, and
// for messages without such a field.
absl::Status CheckRequestedModel(const google::protobuf::Message& request,
                                 absl::string_view served);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_MODEL_CHECK_H_
