// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/scrape_connections.h"

#include <utility>

namespace rwkvd {

void ScrapeConnections::Add(int fd, std::string peer, Time now) {
  Remove(fd);  // in case its end was not reported
  std::list<Connection> added;
  added.push_back({fd, std::move(peer), now, false, false});
  by_fd_[fd] = added.begin();  // nothing has changed if there is no memory
  connections_.splice(connections_.end(), added);
  ++num_open_;
  for (Connection& connection : connections_) {
    if (now - connection.opened <= limits_.age) break;
    if (!connection.is_closing) Close(connection);
  }
  if (num_open_ > limits_.connections) CloseOne(/*with_answer=*/false, fd);
}

void ScrapeConnections::AddAnswer(int fd) {
  const auto found = by_fd_.find(fd);
  if (found == by_fd_.end()) return;
  Connection& connection = *found->second;
  if (connection.is_closing || connection.has_answer) return;
  connection.has_answer = true;
  ++num_answers_;
  if (num_answers_ > limits_.answers) CloseOne(/*with_answer=*/true, fd);
}

void ScrapeConnections::Remove(int fd) {
  const auto found = by_fd_.find(fd);
  if (found == by_fd_.end()) return;
  if (!found->second->is_closing) Uncount(*found->second);
  connections_.erase(found->second);
  by_fd_.erase(found);
}

void ScrapeConnections::CloseOne(bool with_answer, int newest) {
  const auto counts = [&](const Connection& connection) {
    return !connection.is_closing && (!with_answer || connection.has_answer);
  };
  absl::flat_hash_map<std::string, int> number;
  for (const Connection& connection : connections_) {
    if (counts(connection)) ++number[connection.peer];
  }
  Connection* victim = nullptr;
  for (Connection& connection : connections_) {
    if (!counts(connection) || connection.fd == newest) continue;
    if (victim == nullptr || number[connection.peer] > number[victim->peer]) {
      victim = &connection;
    }
  }
  if (victim != nullptr) Close(*victim);
}

void ScrapeConnections::Close(Connection& connection) {
  Uncount(connection);
  connection.is_closing = true;
  close_(connection.fd);
}

void ScrapeConnections::Uncount(const Connection& connection) {
  --num_open_;
  if (connection.has_answer) --num_answers_;
}

}  // namespace rwkvd
