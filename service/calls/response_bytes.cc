// SPDX-License-Identifier: Apache-2.0
#include "service/calls/response_bytes.h"

#include <utility>

namespace rwkvd {
namespace {

constexpr int kLengthDelimited = 2;  // the wire type

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 128; value >>= 7) {
    out->push_back(static_cast<char>(value | 128));
  }
  out->push_back(static_cast<char>(value));
}

struct Parts {
  std::vector<std::string> parts;
  ResponseCharge charge;
};

}  // namespace

void AppendFieldHeader(int number, size_t length, std::string* out) {
  AppendVarint(static_cast<uint64_t>(number) << 3 | kLengthDelimited, out);
  AppendVarint(length, out);
}

grpc::Slice SliceOf(absl::string_view bytes,
                    std::shared_ptr<const void> owner) {
  using Owner = std::shared_ptr<const void>;
  const auto release = [](void* owner) { delete static_cast<Owner*>(owner); };
  // gRPC never writes to the bytes of a slice that it sends.
  return grpc::Slice(const_cast<char*>(bytes.data()), bytes.size(), release,
                     new Owner(std::move(owner)));
}

grpc::ByteBuffer ToByteBuffer(std::vector<std::string> parts,
                              ResponseCharge charge) {
  const auto owner =
      std::make_shared<Parts>(Parts{std::move(parts), std::move(charge)});
  std::vector<grpc::Slice> slices;
  for (const std::string& part : owner->parts) {
    if (!part.empty()) slices.push_back(SliceOf(part, owner));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message,
                              ResponseCharge charge) {
  std::vector<std::string> parts;
  parts.push_back(message.SerializeAsString());
  return ToByteBuffer(std::move(parts), std::move(charge));
}

int64_t ChargeFor(const google::protobuf::MessageLite& message) {
  return static_cast<int64_t>(message.ByteSizeLong()) + kMessageOverhead;
}

}  // namespace rwkvd
