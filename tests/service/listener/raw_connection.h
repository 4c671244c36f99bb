// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_LISTENER_RAW_CONNECTION_H_
#define RWKVD_TESTS_SERVICE_LISTENER_RAW_CONNECTION_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {

// A client's end of a connection, without gRPC. Thread-compatible.
class RawConnection {
 public:
  // Connects to 127.0.0.1:port or unix:path.
  explicit RawConnection(const std::string& address);

  bool connected() const { return connected_; }
  // Returns whether the connection is still open.
  bool Send(absl::string_view bytes);
  // Sends the beginning of HTTP/2: the preface and an empty SETTINGS frame.
  void StartHttp2();
  // Reads frames of HTTP/2 until there is one of this type. False if the
  // connection ends before.
  bool ReadUntilFrame(uint8_t type);
  // Reads until the connection ends.
  void ReadUntilEnd();
  void Close() { fd_.Close(); }

  static constexpr uint8_t kSettings = 4, kPing = 6, kGoAway = 7;

 private:
  // False if the connection ends before.
  bool Read(size_t size, std::string* bytes);

  OwnedFd fd_;
  bool connected_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_LISTENER_RAW_CONNECTION_H_
