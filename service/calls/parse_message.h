// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_PARSE_MESSAGE_H_
#define RWKVD_SERVICE_CALLS_PARSE_MESSAGE_H_

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace rwkvd {

// Parses the bytes of a request. InvalidArgument if they are not a message of
// this type.
template <typename Message>
absl::Status ParseMessage(grpc::ByteBuffer bytes, Message* message) {
  const grpc::Status parsed =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, Message>(&bytes,
                                                                 message);
  if (parsed.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the request is not a valid ", message->GetTypeName()));
}

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_PARSE_MESSAGE_H_
