// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/metrics_endpoint.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "prometheus/text_serializer.h"
#include "service/listener/connection_table.h"
#include "service/log.h"

namespace rwkvd {
namespace {

constexpr ScrapeConnections::Limits kLimits = {
    .connections = 256, .answers = 16, .age = std::chrono::seconds(10)};
// The library's own limit is higher, because it counts connections that are
// being closed, and would refuse new ones.
constexpr unsigned kMaxConnections = 4 * kLimits.connections;
// How long a client may neither send nor read anything.
constexpr unsigned kIdleSeconds = 5;
// Bounds the line and the headers of a request, and the headers of an answer.
constexpr size_t kConnectionBytes = 16 << 10;

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kExposition[] = "text/plain; version=0.0.4; charset=utf-8";

absl::Status NameFlag(const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("--metrics_listen: ", status.message()));
}

int DescriptorOf(MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
      ->connect_fd;
}

std::string PeerOf(int fd) {
  sockaddr_storage peer = {};
  socklen_t size = sizeof(peer);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    return "";
  }
  return PeerKey(peer);
}

// Returns false if there is no memory for the response.
bool Respond(MHD_Connection* connection, unsigned code, const char* type,
             absl::string_view body) {
  MHD_Response* const response = MHD_create_response_from_buffer(
      body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return false;
  bool ok = MHD_add_response_header(response, "Content-Type", type) == MHD_YES;
  ok &= MHD_add_response_header(response, "Connection", "close") == MHD_YES;
  if (code == MHD_HTTP_METHOD_NOT_ALLOWED) {
    ok &= MHD_add_response_header(response, "Allow", "GET, HEAD") == MHD_YES;
  }
  ok = ok && MHD_queue_response(connection, code, response) == MHD_YES;
  MHD_destroy_response(response);  // the connection has its own reference
  return ok;
}

void LogFromLibrary(void*, const char* format, va_list arguments) {
  char line[256];
  std::vsnprintf(line, sizeof(line), format, arguments);
  absl::string_view text = line;
  absl::ConsumeSuffix(&text, "\n");
  LogDebug(absl::StrCat("metrics endpoint: ", text));
}

}  // namespace

struct MetricsEndpoint::Callbacks {
  static void OnConnection(void* endpoint, MHD_Connection* connection, void**,
                           MHD_ConnectionNotificationCode event) noexcept {
    ScrapeConnections& connections =
        static_cast<MetricsEndpoint*>(endpoint)->connections_;
    const int fd = DescriptorOf(connection);
    if (event == MHD_CONNECTION_NOTIFY_CLOSED) return connections.Remove(fd);
    try {
      connections.Add(fd, PeerOf(fd), std::chrono::steady_clock::now());
    } catch (...) {
      shutdown(fd, SHUT_RDWR);  // no memory to keep track of it
    }
  }

  static MHD_Result OnRequest(void* endpoint, MHD_Connection* connection,
                              const char* path, const char* method, const char*,
                              const char*, size_t*, void**) noexcept {
    try {
      return static_cast<MetricsEndpoint*>(endpoint)->Answer(connection, path,
                                                             method)
                 ? MHD_YES
                 : MHD_NO;
    } catch (...) {
      return MHD_NO;  // no memory for the page: closes the connection
    }
  }
};

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(
    const std::string& address,
    std::vector<std::shared_ptr<prometheus::Collectable>> sources) {
  absl::StatusOr<ListeningSockets> sockets = ListeningSockets::Open(address);
  if (!sockets.ok()) return NameFlag(sockets.status());
  std::unique_ptr<MetricsEndpoint> endpoint(
      new MetricsEndpoint(*std::move(sockets), std::move(sources)));
  const absl::Status status = endpoint->StartThreads();
  if (!status.ok()) return NameFlag(status);
  return endpoint;
}

MetricsEndpoint::MetricsEndpoint(
    ListeningSockets sockets,
    std::vector<std::shared_ptr<prometheus::Collectable>> sources)
    : sockets_(std::move(sockets)),
      sources_(std::move(sources)),
      connections_(kLimits, [](int fd) { shutdown(fd, SHUT_RDWR); }) {}

MetricsEndpoint::~MetricsEndpoint() {
  accept_loop_.Stop();
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

absl::Status MetricsEndpoint::StartThreads() {
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
          MHD_USE_ERROR_LOG,
      0, nullptr, nullptr, &Callbacks::OnRequest, this,
      MHD_OPTION_EXTERNAL_LOGGER, &LogFromLibrary, nullptr,
      MHD_OPTION_NOTIFY_CONNECTION, &Callbacks::OnConnection, this,
      MHD_OPTION_CONNECTION_LIMIT, kMaxConnections,
      MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes, MHD_OPTION_END);
  if (daemon_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot start the HTTP server: ", std::strerror(errno)));
  }
  return accept_loop_.Start(
      sockets_.fds(),
      {.on_connection =
           [this](OwnedFd connection, const sockaddr_storage& peer) {
             Serve(std::move(connection), peer);
           },
       .on_failure =
           [](bool, int error) {
             LogDebug(
                 absl::StrCat("metrics endpoint: cannot accept a connection: ",
                              std::strerror(error)));
           }});
}

void MetricsEndpoint::Serve(OwnedFd connection, const sockaddr_storage& peer) {
  // Closes the descriptor if it fails.
  MHD_add_connection(daemon_, connection.Release(),
                     reinterpret_cast<const sockaddr*>(&peer), sizeof(peer));
}

bool MetricsEndpoint::Answer(MHD_Connection* connection, absl::string_view path,
                             absl::string_view method) {
  if (path != "/metrics") {
    return Respond(connection, MHD_HTTP_NOT_FOUND, kText,
                   "The metrics are at /metrics.\n");
  }
  if (method != MHD_HTTP_METHOD_GET && method != MHD_HTTP_METHOD_HEAD) {
    return Respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, kText,
                   "Only GET and HEAD are allowed.\n");
  }
  connections_.AddAnswer(DescriptorOf(connection));
  return Respond(connection, MHD_HTTP_OK, kExposition, Page());
}

std::string MetricsEndpoint::Page() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& source : sources_) {
    for (prometheus::MetricFamily& family : source->Collect()) {
      families.push_back(std::move(family));
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace rwkvd
