// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_CLIENT_H_
#define RWKVD_SERVICE_STATES_REDIS_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "service/states/redis_options.h"
#include "service/states/redis_reply.h"
#include "service/states/redis_stream.h"

namespace rwkvd {

// The name of a command and its arguments, which may be any bytes.
using RedisCommand = std::vector<absl::string_view>;

// The text of an error for the log, without what the server repeats of the
// command: that may be a handle.
std::string RedisErrorText(const RedisReply& error);

// The password in the file, without the end of its line; empty if there is no
// file. InvalidArgument, without contents of the file, if it has no password of
// 1 to 512 printable characters without spaces.
absl::StatusOr<std::string> ReadRedisPassword(const RedisOptions& options);

// One connection to a Redis server, which is established when it is needed and
// again after it has failed. Each access ends after RedisOptions::timeout.
//
// After a failure, the server is not tried again for a second, then two, and so
// on up to half a minute; accesses in between fail at once. So a server that is
// down or stalls costs its callers little.
//
// Thread-safe: one access runs at a time, and others wait for it. The caller is
// a thread that may wait.
class RedisClient {
 public:
  static constexpr absl::Duration kMinBackOff = absl::Seconds(1);
  static constexpr absl::Duration kMaxBackOff = absl::Seconds(30);

  explicit RedisClient(RedisOptions options) : options_(std::move(options)) {}

  // Sends the commands together, and returns the reply to each, also those that
  // are errors of single commands. Bytes in replies have at most `max_bytes`.
  //
  // OutOfRange if they have more, FailedPrecondition if the server is not tried
  // again yet. Otherwise the errors of RedisStream and
  // RedisReader, or PermissionDenied if the server refuses the password; they
  // are for the log, and have no secrets. If a connection had ended while it
  // was idle, the commands are sent again on a new one.
  absl::StatusOr<std::vector<RedisReply>> Run(
      absl::Span<const RedisCommand> commands, int64_t max_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How long the server is not tried again; zero if it may be used.
  absl::Duration TimeToRetry() const ABSL_LOCKS_EXCLUDED(retry_mutex_);

  const RedisOptions& options() const { return options_; }

 private:
  struct Connection {
    explicit Connection(std::unique_ptr<RedisStream> connected)
        : stream(std::move(connected)), reader([this](char* data, size_t size) {
            return stream->Read(data, size);
          }) {}

    const std::unique_ptr<RedisStream> stream;
    RedisReader reader;
  };

  absl::Status Connect(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Proves who we are, and selects the database.
  absl::Status Greet() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<RedisReply>> RunOnce(
      absl::Span<const RedisCommand> commands, int64_t max_bytes,
      absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<RedisReply>> Exchange(
      absl::Span<const RedisCommand> commands, int64_t max_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Decides from the result of an access when the next one is tried.
  void SetBackOff(bool has_succeeded) ABSL_LOCKS_EXCLUDED(retry_mutex_);

  const RedisOptions options_;
  absl::Mutex mutex_;  // held during an access
  std::unique_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);

  mutable absl::Mutex retry_mutex_;  // never held while waiting
  absl::Time retry_ ABSL_GUARDED_BY(retry_mutex_) = absl::InfinitePast();
  absl::Duration back_off_ ABSL_GUARDED_BY(retry_mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_CLIENT_H_
