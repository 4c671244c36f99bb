// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_LISTENER_HTTP2_FRAMES_H_
#define RWKVD_TESTS_SERVICE_LISTENER_HTTP2_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace rwkvd::http2 {

inline constexpr absl::string_view kPreface =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline constexpr uint8_t kData = 0, kHeaders = 1, kResetStream = 3,
                         kSettings = 4, kPing = 6, kWindowUpdate = 8,
                         kContinuation = 9;
inline constexpr uint8_t kEndStream = 0x1, kAcknowledgment = 0x1,
                         kEndHeaders = 0x4;

inline void AppendNumber(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(value >> shift));
  }
}

// A frame of HTTP/2, valid or not.
inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream,
                         absl::string_view payload = "") {
  std::string frame;
  AppendNumber(static_cast<uint32_t>(payload.size()), &frame);
  frame.erase(0, 1);  // three bytes of the size
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  AppendNumber(stream, &frame);
  absl::StrAppend(&frame, payload);
  return frame;
}

// The end of a stream by its client.
inline std::string Reset(uint32_t stream) {
  return Frame(kResetStream, 0, stream, std::string(4, '\0'));
}

// A field of a header block, without compression. Sizes are below 127.
inline std::string Field(absl::string_view name, absl::string_view value) {
  std::string field(1, '\0');
  for (const absl::string_view part : {name, value}) {
    field.push_back(static_cast<char>(part.size()));
    absl::StrAppend(&field, part);
  }
  return field;
}

// The header block of a gRPC call.
inline std::string CallFields(absl::string_view path) {
  return Field(":method", "POST") + Field(":scheme", "http") +
         Field(":path", path) + Field(":authority", "rwkvd") +
         Field("te", "trailers") + Field("content-type", "application/grpc");
}

}  // namespace rwkvd::http2

#endif  // RWKVD_TESTS_SERVICE_LISTENER_HTTP2_FRAMES_H_
