// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SMALL_MESSAGE_H_
#define RWKVD_SERVICE_CONVERT_SMALL_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace rwkvd {

// The most bytes of a request of the health and reflection services, or of
// another health check, which contains little more than a name.
inline constexpr size_t kMaxSmallMessageBytes = 4096;

// Parses such a request into `proto`, in the thread of the caller.
// InvalidArgument if it has more than kMaxSmallMessageBytes, or, with the path
// of the field, if it is not a message of this type; Cancelled if the client
// ended the call before its message arrived. Thread-safe.
absl::Status ParseSmallMessage(const grpc::ByteBuffer& bytes,
                               google::protobuf::Message* proto);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SMALL_MESSAGE_H_
