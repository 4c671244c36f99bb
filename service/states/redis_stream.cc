// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_stream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/monotonic_clock.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/openssl_error.h"
#include "service/states/redis_tls.h"

namespace rwkvd {
namespace {

absl::Status SocketError(absl::string_view what) {
  const int error = errno;
  const std::string message = absl::StrCat(what, ": ", std::strerror(error));
  const bool is_closed = error == EPIPE || error == ECONNRESET;
  return is_closed ? absl::AbortedError(message)
                   : absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RedisStream>> RedisStream::Connect(
    const RedisOptions& options, absl::Time deadline) {
  std::unique_ptr<RedisStream> stream(new RedisStream());
  stream->deadline_ = deadline;
  RWKVD_RETURN_IF_ERROR(options.unix_path.empty()
                            ? stream->ConnectToHost(options)
                            : stream->ConnectToPath(options));
  if (options.has_tls) RWKVD_RETURN_IF_ERROR(stream->BeginTls(options));
  return stream;
}

RedisStream::~RedisStream() { SSL_free(ssl_); }

absl::Status RedisStream::ConnectToHost(const RedisOptions& options) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(
      options.host.c_str(), absl::StrCat(options.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat(
        "the name ", Quoted(options.host), ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found,
                                                                 freeaddrinfo);
  absl::Status status;
  for (const addrinfo* address = found; address != nullptr;
       address = address->ai_next) {
    status = ConnectSocket(address->ai_family, address->ai_addr,
                           address->ai_addrlen);
    if (status.ok() || absl::IsDeadlineExceeded(status)) return status;
  }
  return status;
}

absl::Status RedisStream::ConnectToPath(const RedisOptions& options) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t size =
      std::min(options.unix_path.size(), sizeof(address.sun_path) - 1);
  std::memcpy(address.sun_path, options.unix_path.data(), size);
  return ConnectSocket(AF_UNIX, &address, sizeof(address));
}

absl::Status RedisStream::ConnectSocket(int family, const void* address,
                                        size_t size) {
  fd_ = OwnedFd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_.valid()) return SocketError("socket");
  if (family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  }
  if (connect(fd_.get(), static_cast<const sockaddr*>(address),
              static_cast<socklen_t>(size)) == 0) {
    return absl::OkStatus();
  }
  if (errno != EINPROGRESS) return SocketError("connect");
  RWKVD_RETURN_IF_ERROR(Wait(POLLOUT));
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
    return SocketError("connect");
  }
  errno = error;
  return error == 0 ? absl::OkStatus() : SocketError("connect");
}

absl::Status RedisStream::BeginTls(const RedisOptions& options) {
  RWKVD_ASSIGN_OR_RETURN(const SslContext context, NewSslContext(options));
  ssl_ = SSL_new(context.get());
  BIO* const bio = ssl_ == nullptr ? nullptr : BIO_new(BioMethod());
  if (bio == nullptr) return absl::UnavailableError(TakeOpenSslError());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  const std::string& name =
      options.server_name.empty() ? options.host : options.server_name;
  const bool is_address =
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), name.c_str()) == 1;
  if (!is_address) {
    ERR_clear_error();
    if (SSL_set1_host(ssl_, name.c_str()) != 1 ||
        SSL_set_tlsext_host_name(ssl_, name.c_str()) != 1) {
      return absl::UnavailableError(TakeOpenSslError());
    }
  }
  const int result = SSL_connect(ssl_);
  return result == 1 ? absl::OkStatus() : TlsError(result);
}

absl::Status RedisStream::TlsError(int result) {
  const int kind = SSL_get_error(ssl_, result);
  absl::Status error = std::exchange(socket_error_, absl::OkStatus());
  if (kind == SSL_ERROR_ZERO_RETURN) {
    return absl::AbortedError("TLS: the server has ended the connection");
  }
  const long verified = SSL_get_verify_result(ssl_);
  if (verified != X509_V_OK) {
    ERR_clear_error();
    return absl::PermissionDeniedError(
        absl::StrCat("TLS: the server's certificate: ",
                     X509_verify_cert_error_string(verified)));
  }
  if (!error.ok()) {
    ERR_clear_error();
    return error;
  }
  return absl::PermissionDeniedError(absl::StrCat("TLS: ", TakeOpenSslError()));
}

absl::Status RedisStream::Write(absl::string_view bytes) {
  if (ssl_ == nullptr) return WriteToSocket(bytes);
  constexpr size_t kMaxPart = 1 << 20;
  while (!bytes.empty()) {
    const absl::string_view part = bytes.substr(0, kMaxPart);
    ERR_clear_error();
    const int result =
        SSL_write(ssl_, part.data(), static_cast<int>(part.size()));
    if (result <= 0) return TlsError(result);
    bytes.remove_prefix(static_cast<size_t>(result));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> RedisStream::Read(char* data, size_t size) {
  if (ssl_ == nullptr) return ReadFromSocket(data, size);
  constexpr size_t kMax = std::numeric_limits<int>::max();
  ERR_clear_error();
  const int result =
      SSL_read(ssl_, data, static_cast<int>(std::min(size, kMax)));
  if (result <= 0) return TlsError(result);
  return static_cast<size_t>(result);
}

absl::Status RedisStream::WriteToSocket(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent =
        send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      RWKVD_RETURN_IF_ERROR(Wait(POLLOUT));
    } else if (errno != EINTR) {
      return SocketError("send");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> RedisStream::ReadFromSocket(char* data, size_t size) {
  while (true) {
    // A server that sends a little at a time does not prolong the deadline.
    if (MonotonicNow() >= deadline_) break;
    const ssize_t received = recv(fd_.get(), data, size, 0);
    if (received > 0) return static_cast<size_t>(received);
    if (received == 0) {
      return absl::AbortedError("the server has ended the connection");
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      RWKVD_RETURN_IF_ERROR(Wait(POLLIN));
    } else if (errno != EINTR) {
      return SocketError("recv");
    }
  }
  return absl::DeadlineExceededError("no complete answer in time");
}

absl::Status RedisStream::Wait(short events) {
  while (true) {
    const absl::Duration left = deadline_ - MonotonicNow();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("no answer in time");
    }
    pollfd waiting = {fd_.get(), events, 0};
    const int ms = static_cast<int>(std::min<int64_t>(
        absl::ToInt64Milliseconds(left) + 1, std::numeric_limits<int>::max()));
    const int ready = poll(&waiting, 1, ms);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return SocketError("poll");
  }
}

BIO_METHOD* RedisStream::BioMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "store");
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

int RedisStream::BioWrite(BIO* bio, const char* data, int size) {
  auto* const stream = static_cast<RedisStream*>(BIO_get_data(bio));
  stream->socket_error_ =
      stream->WriteToSocket({data, static_cast<size_t>(size)});
  return stream->socket_error_.ok() ? size : -1;
}

int RedisStream::BioRead(BIO* bio, char* data, int size) {
  auto* const stream = static_cast<RedisStream*>(BIO_get_data(bio));
  const auto received = stream->ReadFromSocket(data, static_cast<size_t>(size));
  stream->socket_error_ = received.status();
  return received.ok() ? static_cast<int>(*received) : -1;
}

long RedisStream::BioControl(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

}  // namespace rwkvd
