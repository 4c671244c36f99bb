// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_MESSAGE_CHECK_H_
#define RWKVD_SERVICE_CONVERT_MESSAGE_CHECK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace rwkvd {

// The result of checking a serialized message before it is parsed. A value.
struct MessageCheck {
  // InvalidArgument, with the path of the field, if the message cannot be
  // parsed.
  absl::Status status;
  // Whether that is because a field of type string is not valid UTF-8.
  bool not_utf8 = false;
  // An upper bound of the memory that the parsed message takes, in bytes. An
  // empty nested message takes 2 bytes on the wire and a hundred in memory.
  int64_t memory = 0;
};

// Checks `bytes`, a serialized message of this type, in one pass that allocates
// no memory in proportion to the message. It stops once `memory` exceeds
// `max_memory`; `status` is then OK.
MessageCheck CheckMessage(const google::protobuf::Descriptor& type,
                          absl::string_view bytes, int64_t max_memory);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_MESSAGE_CHECK_H_
