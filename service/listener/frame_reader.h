// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_FRAME_READER_H_
#define RWKVD_SERVICE_LISTENER_FRAME_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Types and flags of HTTP/2's frames (RFC 9113, section 6).
enum FrameType : uint8_t {
  kDataFrame = 0,
  kHeadersFrame = 1,
  kResetFrame = 3,
  kSettingsFrame = 4,
  kWindowUpdateFrame = 8,
  kContinuationFrame = 9,
};
inline constexpr uint8_t kEndStreamFlag = 0x1, kAcknowledgmentFlag = 0x1;

// The header of a frame (RFC 9113, section 4.1). A value.
struct FrameHeader {
  uint32_t size = 0;  // of the payload, in bytes
  uint8_t type = 0;   // a FrameType, or one that is not listed there
  uint8_t flags = 0;
  uint32_t stream = 0;

  bool ends_stream() const {
    return (type == kDataFrame || type == kHeadersFrame) &&
           (flags & kEndStreamFlag) != 0;
  }
};

// Splits the bytes of one direction of a connection into frames. Copies only
// their headers. Thread-compatible.
class FrameReader {
 public:
  enum class Part { kNone, kHeader, kPayload };

  // Removes the next part of a frame from `bytes`: its header, or as much of
  // its payload as `bytes` has. kNone if `bytes` end before the next part.
  Part Next(absl::string_view& bytes);

  // The current frame; valid after Next has returned kHeader.
  const FrameHeader& frame() const { return frame_; }
  // What Next has removed when it returned kPayload.
  absl::string_view payload() const { return payload_; }
  // Whether the current frame is complete.
  bool at_end() const { return payload_left_ == 0; }

 private:
  static constexpr size_t kHeaderBytes = 9;

  void DecodeHeader();

  std::array<uint8_t, kHeaderBytes> header_ = {};
  size_t header_taken_ = 0;  // bytes of the header
  FrameHeader frame_;
  absl::string_view payload_;
  uint32_t payload_left_ = 0;  // bytes of the frame's payload
};

// The number in four bytes, most significant first.
uint32_t DecodeUint32(const uint8_t* bytes);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_FRAME_READER_H_
