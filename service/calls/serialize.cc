// SPDX-License-Identifier: Apache-2.0
#include "service/calls/serialize.h"

#include <grpcpp/support/slice.h>

#include <cstdint>

#include "core/base/check.h"

namespace rwkvd {

grpc::ByteBuffer ToByteBuffer(const google::protobuf::Message& message) {
  const size_t size = message.ByteSizeLong();
  const grpc::Slice slice(size);
  auto* const begin = const_cast<uint8_t*>(slice.begin());
  RWKVD_CHECK(message.SerializeWithCachedSizesToArray(begin) == begin + size);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace rwkvd
