// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_SCRAPE_CONNECTIONS_H_
#define RWKVD_SERVICE_METRICS_SCRAPE_CONNECTIONS_H_

#include <chrono>
#include <functional>
#include <list>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace rwkvd {

// The open connections of the metrics endpoint, and the choice of those to
// close so that a new one is always served: connections that are too old, and
// if there are too many, the oldest one of the peer that has most. So a client
// that opens connections and sends nothing closes its own ones, not those of
// Prometheus.
//
// Thread-compatible.
class ScrapeConnections {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Limits {
    int connections = 0;
    int answers = 0;  // connections whose answer has not been read yet
    std::chrono::seconds age{0};
  };

  // `close` ends a connection; Remove of that connection follows later.
  ScrapeConnections(const Limits& limits, std::function<void(int fd)> close)
      : limits_(limits), close_(std::move(close)) {}

  // Adds a new connection, and closes others so that the limits hold.
  // Connections with the same `peer` count together.
  void Add(int fd, std::string peer, Time now);
  // The answer to the request of `fd` exists from now on. Closes another
  // connection if there are too many answers.
  void AddAnswer(int fd);
  // The connection has ended.
  void Remove(int fd);

  // Without those that are being closed.
  int num_open() const { return num_open_; }
  int num_answers() const { return num_answers_; }

 private:
  struct Connection {
    int fd = -1;
    std::string peer;
    Time opened;
    bool has_answer = false;
    bool is_closing = false;
  };

  // Closes the oldest connection of the peer that has most connections, or most
  // answers, apart from `newest`.
  void CloseOne(bool with_answer, int newest);
  void Close(Connection& connection);
  // `connection` does not count any more.
  void Uncount(const Connection& connection);

  const Limits limits_;
  const std::function<void(int fd)> close_;
  std::list<Connection> connections_;  // oldest first
  absl::flat_hash_map<int, std::list<Connection>::iterator> by_fd_;
  int num_open_ = 0;
  int num_answers_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_SCRAPE_CONNECTIONS_H_
