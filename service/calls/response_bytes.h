// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_RESPONSE_BYTES_H_
#define RWKVD_SERVICE_CALLS_RESPONSE_BYTES_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"
#include "service/response_memory.h"

namespace rwkvd {

// Responses are serialized as soon as they are known, since serialized messages
// take less memory than message objects, and gRPC writes them without a copy.

// The most bytes that gRPC, this process's allocator and its containers take
// for a message in addition to its content.
inline constexpr int64_t kMessageOverhead = 512;

// Appends the tag of the length-delimited field `number`, and its length.
void AppendFieldHeader(int number, size_t length, std::string* out);

// Bytes that `owner` keeps alive, without a copy. gRPC releases the owner once
// it has written them.
grpc::Slice SliceOf(absl::string_view bytes, std::shared_ptr<const void> owner);

// The concatenation of `parts`, and the memory that they are charged for.
grpc::ByteBuffer ToByteBuffer(std::vector<std::string> parts,
                              ResponseCharge charge);

// A serialized message, and the memory that it is charged for.
grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message,
                              ResponseCharge charge);

// The memory that the message of ToByteBuffer takes.
int64_t ChargeFor(const google::protobuf::MessageLite& message);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_RESPONSE_BYTES_H_
