// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_OPEN_CALLS_H_
#define RWKVD_SERVICE_LISTENER_OPEN_CALLS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "service/listener/call_guard.h"

namespace rwkvd {

// Reads the numbers of open calls from gRPC's own statistics (channelz), which
// also know calls whose message has not arrived.
//
// Thread-safe.
class OpenCalls {
 public:
  // Observes the server that was built last in this process.
  OpenCalls();

  // The open calls of the whole server. Takes about 20 microseconds.
  int64_t Count() const;
  // The open calls of each connection; connections over Unix sockets have no
  // endpoint. Takes about 20 microseconds for each connection.
  std::vector<ConnectionCalls> CountByConnection() const;

 private:
  int64_t server_id_ = 0;
};

// The numbers in gRPC's descriptions of a server and of a socket, in JSON; for
// tests. 0 or an empty endpoint if the text is not as expected.
int64_t ParseOpenCalls(absl::string_view server);
ConnectionCalls ParseConnection(absl::string_view socket);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_OPEN_CALLS_H_
