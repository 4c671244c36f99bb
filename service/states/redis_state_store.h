// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_STATE_STORE_H_
#define RWKVD_SERVICE_STATES_REDIS_STATE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "service/log.h"
#include "service/states/redis_client.h"
#include "service/states/redis_options.h"
#include "service/states/state_store.h"

namespace rwkvd {

// A store in a Redis or Valkey server, which several servers share. Redis
// deletes each state after its time to live, by its own clock; `now` is used in
// messages only. docs/state-file.md describes the keys.
//
// The bytes of all states, and of each owner, are bounded across all servers:
// a script reserves the room for a state in one step, before the state is sent.
// A reservation that is not followed by its state ends after kLease.
//
// A failure of the store concerns the calls that need it, not whether this
// server is ready: Check reports it in the log and in figures(), and returns
// OK.
//
// Thread-safe; one call at a time uses the server.
class RedisStateStore final : public StateStore {
 public:
  static constexpr absl::Duration kLease = absl::Minutes(2);

  // InvalidArgument if a file of the options cannot be used. A server that
  // cannot be reached is no error.
  static absl::StatusOr<std::unique_ptr<RedisStateStore>> Open(
      const RedisOptions& options, int64_t max_bytes, StoreTime now);

  absl::Status PutAs(const std::string& handle, std::string bytes,
                     StoreTime now, absl::Duration time_to_live,
                     int64_t max_owner_bytes) override;
  absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, StoreTime now, int64_t max_bytes) override;
  absl::Status Delete(absl::string_view handle, StoreTime now) override;
  absl::Status Check(StoreTime now) override;
  Figures figures() const override ABSL_LOCKS_EXCLUDED(mutex_);
  bool outlives_process() const override { return true; }

 private:
  // What a script returns: a code, and three numbers.
  struct ScriptResult {
    int64_t code = 0;
    int64_t bytes = 0;    // of all states
    int64_t handles = 0;  // all states
    int64_t detail = 0;   // see the scripts
  };

  RedisStateStore(const RedisOptions& options, int64_t max_bytes);

  std::string KeyOf(absl::string_view handle) const;
  // The command that runs a script, with its keys, the prefix of states and
  // `arguments`, which outlive it.
  RedisCommand Script(absl::string_view script,
                      absl::Span<const absl::string_view> arguments) const;
  // The command that makes the index say what is stored under a handle.
  RedisCommand Refresh(absl::string_view handle) const;

  // Reserves the room for a state of `size` bytes.
  absl::Status Reserve(const std::string& handle, int64_t size,
                       int64_t max_owner_bytes);

  // Runs the commands. The errors are those for the client, except OutOfRange.
  absl::StatusOr<std::vector<RedisReply>> Run(
      absl::Span<const RedisCommand> commands, int64_t max_bytes);
  // Reads the result of a script, and sets the figures.
  absl::StatusOr<ScriptResult> ResultOf(const RedisReply& reply)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The error for the client of a command that the server has refused.
  absl::Status Refused(const RedisReply& reply);
  // The same of a failure, which it logs.
  absl::Status Failure(absl::string_view message) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status NotUsable() ABSL_LOCKS_EXCLUDED(mutex_);
  void SetUsable(bool is_usable) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string prefix_;  // of all keys, with a colon
  // The keys of the index, and the prefix of states.
  const std::string index_, sizes_, sums_, states_;
  const int64_t max_bytes_;
  RedisClient client_;
  LimitedLog log_;

  mutable absl::Mutex mutex_;
  Figures figures_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_STATE_STORE_H_
