// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_STREAM_H_
#define RWKVD_SERVICE_STATES_REDIS_STREAM_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/listener/owned_fd.h"
#include "service/states/redis_options.h"

namespace rwkvd {

// The bytes to and from a server, with TLS or without. Each wait ends at a
// deadline, a time of MonotonicNow, so that a server that stalls costs a
// bounded time.
//
// The errors are for the log: DeadlineExceeded, Aborted if the server has ended
// the connection, Unavailable if it cannot be reached, or PermissionDenied if
// TLS refuses the server or the server this client.
//
// Owned by a RedisConnection; thread-compatible.
class RedisStream {
 public:
  // Connects. The lookup of a name may last longer than the deadline, as
  // resolv.conf says.
  static absl::StatusOr<std::unique_ptr<RedisStream>> Connect(
      const RedisOptions& options, absl::Time deadline);

  ~RedisStream();
  RedisStream(const RedisStream&) = delete;
  RedisStream& operator=(const RedisStream&) = delete;

  void set_deadline(absl::Time deadline) { deadline_ = deadline; }

  // Sends all bytes.
  absl::Status Write(absl::string_view bytes);
  // Receives between 1 and `size` bytes.
  absl::StatusOr<size_t> Read(char* data, size_t size);

 private:
  RedisStream() = default;

  absl::Status ConnectToHost(const RedisOptions& options);
  absl::Status ConnectToPath(const RedisOptions& options);
  // Connects a new socket to one address.
  absl::Status ConnectSocket(int family, const void* address, size_t size);
  absl::Status BeginTls(const RedisOptions& options);
  // The error of an operation of TLS that has returned `result`.
  absl::Status TlsError(int result);

  // As Write and Read, below TLS.
  absl::Status WriteToSocket(absl::string_view bytes);
  absl::StatusOr<size_t> ReadFromSocket(char* data, size_t size);
  // Waits until the socket is ready for one of `events`.
  absl::Status Wait(short events);

  // What OpenSSL calls for its input and output.
  static BIO_METHOD* BioMethod();
  static int BioWrite(BIO* bio, const char* data, int size);
  static int BioRead(BIO* bio, char* data, int size);
  static long BioControl(BIO* bio, int command, long, void*);

  OwnedFd fd_;
  SSL* ssl_ = nullptr;  // without TLS
  absl::Time deadline_;
  absl::Status socket_error_;  // the last one, for the caller of OpenSSL
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_STREAM_H_
