// SPDX-License-Identifier: Apache-2.0
#include "service/listener/frame_reader.h"

namespace rwkvd {
namespace {

// The first bit of a stream's number is reserved.
constexpr uint32_t kStreamBits = 0x7FFFFFFF;

}  // namespace

uint32_t DecodeUint32(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
         uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]};
}

FrameReader::Part FrameReader::Next(absl::string_view& bytes) {
  if (bytes.empty()) return Part::kNone;
  if (payload_left_ > 0) {
    payload_ = bytes.substr(0, payload_left_);
    payload_left_ -= static_cast<uint32_t>(payload_.size());
    bytes.remove_prefix(payload_.size());
    return Part::kPayload;
  }
  while (header_taken_ < kHeaderBytes) {
    if (bytes.empty()) return Part::kNone;
    header_[header_taken_++] = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
  }
  header_taken_ = 0;
  DecodeHeader();
  return Part::kHeader;
}

void FrameReader::DecodeHeader() {
  frame_.size = DecodeUint32(header_.data()) >> 8;
  frame_.type = header_[3];
  frame_.flags = header_[4];
  frame_.stream = DecodeUint32(header_.data() + 5) & kStreamBits;
  payload_left_ = frame_.size;
}

}  // namespace rwkvd
