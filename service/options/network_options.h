// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_NETWORK_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_NETWORK_OPTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace rwkvd {

inline constexpr absl::Duration kMaxConnectionAge = absl::Minutes(30);

// The addresses of the server, and the limits of connections and streams. A
// value.
struct NetworkOptions {
  std::string listen = "127.0.0.1:0";
  std::string metrics_listen;            // empty: no metrics
  std::string health_listen;             // empty: no health without TLS
  std::string port_file;                 // empty: none is written
  int32_t max_connections = 0;           // 0: derived
  int32_t max_connections_per_peer = 0;  // 0: derived
  int32_t max_streams_per_connection = 100;
  absl::Duration max_connection_age = kMaxConnectionAge;  // 0: no limit
  absl::Duration max_connection_age_grace = absl::InfiniteDuration();
  // Limits of CallMonitor; > 0.
  absl::Duration unread_timeout = absl::Minutes(1);
  absl::Duration stream_idle_timeout = absl::Minutes(1);
  bool vllm = true;
  bool insecure = false;  // --listen may be open to other hosts without TLS
  std::optional<mode_t> unix_socket_mode;  // none: the process's mask decides
  bool reflection = true;
  bool channelz = false;
  // Clients that send keepalive pings more often are disconnected. They may
  // send one every 10 seconds, also without calls. Half of that is tolerated,
  // since pings do not arrive evenly. No flag sets it.
  absl::Duration min_client_ping_interval = absl::Seconds(5);
};

// Sets all fields that have flags to the values of these. InvalidArgument with
// the flag, its value and the values that are allowed.
absl::Status ReadNetworkFlags(NetworkOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_NETWORK_OPTIONS_H_
