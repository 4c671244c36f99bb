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
#include "core/base/sha256.h"
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

// TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, as gRPC.
constexpr char kTlsPriorities[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:"
    "+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305";

// Comparing digests takes as long wherever two texts differ.
std::string Digest(absl::string_view text) {
  Sha256 digest;
  digest.UpdateWithLength(text);
  return digest.Hex();
}

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
  if (code == MHD_HTTP_UNAUTHORIZED) {
    ok &= MHD_add_response_header(response, "WWW-Authenticate", "Bearer") ==
          MHD_YES;
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
    std::vector<std::shared_ptr<prometheus::Collectable>> sources,
    MetricsAccess access, std::optional<mode_t> unix_mode) {
  absl::StatusOr<ListeningSockets> sockets =
      ListeningSockets::Open(address, unix_mode);
  if (!sockets.ok()) return NameFlag(sockets.status());
  std::unique_ptr<MetricsEndpoint> endpoint(
      new MetricsEndpoint(*std::move(sockets), std::move(sources)));
  absl::Status status = endpoint->Use(std::move(access));
  if (status.ok()) status = endpoint->StartAcceptLoop();
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
  absl::MutexLock lock(&mutex_);
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

absl::Status MetricsEndpoint::Use(MetricsAccess access) {
  absl::MutexLock lock(&mutex_);
  if (daemon_ != nullptr) {
    if (access.tls == access_.tls && access.token == access_.token) {
      return absl::OkStatus();
    }
    MHD_stop_daemon(daemon_);  // ends the HTTP thread
  }
  access_ = std::move(access);
  return StartDaemon();
}

absl::Status MetricsEndpoint::StartDaemon() {
  // The library does not change the texts.
  const auto item = [](MHD_OPTION option, const char* text) {
    return MHD_OptionItem{option, 0, const_cast<char*>(text)};
  };
  std::vector<MHD_OptionItem> tls;
  if (access_.tls != nullptr) {
    tls = {item(MHD_OPTION_HTTPS_MEM_CERT, access_.tls->cert.c_str()),
           item(MHD_OPTION_HTTPS_MEM_KEY, access_.tls->key.c_str()),
           item(MHD_OPTION_HTTPS_PRIORITIES, kTlsPriorities)};
  }
  tls.push_back({MHD_OPTION_END, 0, nullptr});
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
          MHD_USE_ERROR_LOG | (access_.tls == nullptr ? 0 : MHD_USE_TLS),
      0, nullptr, nullptr, &Callbacks::OnRequest, this,
      MHD_OPTION_EXTERNAL_LOGGER, &LogFromLibrary, nullptr,
      MHD_OPTION_NOTIFY_CONNECTION, &Callbacks::OnConnection, this,
      MHD_OPTION_CONNECTION_LIMIT, kMaxConnections,
      MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes, MHD_OPTION_ARRAY,
      tls.data(), MHD_OPTION_END);
  if (daemon_ != nullptr) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot start the HTTP server: ", std::strerror(errno)));
}

absl::Status MetricsEndpoint::StartAcceptLoop() {
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
  absl::MutexLock lock(&mutex_);
  if (daemon_ == nullptr) return;
  // Closes the descriptor if it fails.
  MHD_add_connection(daemon_, connection.Release(),
                     reinterpret_cast<const sockaddr*>(&peer), sizeof(peer));
}

bool MetricsEndpoint::IsAllowed(MHD_Connection* connection) const {
  if (access_.token.empty()) return true;
  const char* const value = MHD_lookup_connection_value(
      connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
  absl::string_view given = value == nullptr ? "" : value;
  return absl::ConsumePrefix(&given, "Bearer ") &&
         Digest(given) == Digest(access_.token);
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
  if (!IsAllowed(connection)) {
    return Respond(connection, MHD_HTTP_UNAUTHORIZED, kText,
                   "A token is needed: Authorization: Bearer TOKEN.\n");
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
