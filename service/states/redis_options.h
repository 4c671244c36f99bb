// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_OPTIONS_H_
#define RWKVD_SERVICE_STATES_REDIS_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace rwkvd {

// A server that speaks the protocol of Redis (Redis, Valkey) and keeps saved
// states, and how to reach it. A value. The files are named, not read.
struct RedisOptions {
  std::string host;       // a name or an address; empty if there is a unix_path
  int32_t port = 6379;    // of host
  std::string unix_path;  // of a socket
  int32_t database = 0;
  bool has_tls = false;

  std::string user;              // empty: the server's default user
  std::string password_file;     // empty: no password
  std::string ca;                // PEM; empty: the authorities of the system
  std::string cert;              // PEM; empty: no client certificate
  std::string key;               // PEM; given if and only if cert is
  std::string server_name;       // in the server's certificate; empty: host
  std::string prefix = "rwkvd";  // of all keys, without ":"
  absl::Duration timeout = absl::Seconds(5);  // of one access

  // host:port or unix:path, for messages.
  std::string address() const;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_OPTIONS_H_
