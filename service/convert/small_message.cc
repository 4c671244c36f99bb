// SPDX-License-Identifier: Apache-2.0
#include "service/convert/small_message.h"

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "service/convert/message_check.h"

namespace rwkvd {

absl::Status ParseSmallMessage(const grpc::ByteBuffer& bytes,
                               google::protobuf::Message* proto) {
  std::vector<grpc::Slice> slices;
  if (!bytes.Valid() || !bytes.Dump(&slices).ok()) {
    return MakeError(ErrorReason::kCancelled,
                     "the call ended before its message arrived");
  }
  const google::protobuf::Descriptor& type = *proto->GetDescriptor();
  if (bytes.Length() > kMaxSmallMessageBytes) {
    return MakeError(ErrorReason::kMessageMalformed,
                     absl::StrCat("the message of type ", type.full_name(),
                                  " has ", bytes.Length(), " bytes; at most ",
                                  kMaxSmallMessageBytes, " are allowed"));
  }
  std::string joined;
  joined.reserve(bytes.Length());
  for (const grpc::Slice& slice : slices) {
    joined.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  RWKVD_RETURN_IF_ERROR(
      CheckMessage(type, joined, std::numeric_limits<int64_t>::max()).status);
  if (proto->ParseFromString(joined)) return absl::OkStatus();
  return MakeError(ErrorReason::kMessageMalformed,
                   absl::StrCat("the message is not a ", type.full_name()));
}

}  // namespace rwkvd
