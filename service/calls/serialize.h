// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_SERIALIZE_H_
#define RWKVD_SERVICE_CALLS_SERIALIZE_H_

#include <grpcpp/support/byte_buffer.h>

#include "google/protobuf/message.h"

namespace rwkvd {

// The message in the wire format. The message has less than 2 GiB.
grpc::ByteBuffer ToByteBuffer(const google::protobuf::Message& message);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_SERIALIZE_H_
