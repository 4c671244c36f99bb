// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_state_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "core/base/status_macros.h"
#include "service/states/redis_scripts.h"
#include "service/states/redis_tls.h"
#include "service/states/state_handle.h"

namespace rwkvd {
namespace {

using Kind = RedisReply::Kind;

// Of replies that have no state.
constexpr int64_t kMaxOtherReply = 1 << 10;

// Whether the server has no memory for what it should store.
bool IsOutOfMemory(const RedisReply& reply) {
  return reply.kind == Kind::kError &&
         absl::StrContains(reply.text, "OOM command not allowed");
}

absl::Status OutOfMemory() {
  return WithRetryAfter(
      WithQuota(MakeError(ErrorReason::kStateStoreFull,
                          "the server that stores states has no memory left "
                          "(maxmemory of Redis)"),
                "redis_maxmemory"),
      absl::Minutes(1));
}

absl::Status DamagedState() {
  return MakeError(ErrorReason::kSavedStateDamaged,
                   "the saved state is damaged");
}

// Whether the network between here and the server is only this host's.
bool IsLocal(const RedisOptions& options) {
  return !options.unix_path.empty() || options.host == "localhost" ||
         options.host == "::1" || absl::StartsWith(options.host, "127.");
}

}  // namespace

absl::StatusOr<std::unique_ptr<RedisStateStore>> RedisStateStore::Open(
    const RedisOptions& options, int64_t max_bytes, StoreTime now) {
  RWKVD_RETURN_IF_ERROR(ReadRedisPassword(options).status());
  if (options.has_tls) {
    RWKVD_RETURN_IF_ERROR(NewSslContext(options).status());
  } else if (!IsLocal(options)) {
    LogWarning(
        "--state_store: without TLS (rediss://), whoever can read the network "
        "can read saved states and the password");
  }
  std::unique_ptr<RedisStateStore> store(
      new RedisStateStore(options, max_bytes));
  RWKVD_RETURN_IF_ERROR(store->Check(now));
  return store;
}

RedisStateStore::RedisStateStore(const RedisOptions& options, int64_t max_bytes)
    : prefix_(absl::StrCat(options.prefix, ":")),
      index_(absl::StrCat(prefix_, "index")),
      sizes_(absl::StrCat(prefix_, "sizes")),
      sums_(absl::StrCat(prefix_, "sums")),
      states_(absl::StrCat(prefix_, "state:")),
      max_bytes_(max_bytes),
      client_(options) {}

std::string RedisStateStore::KeyOf(absl::string_view handle) const {
  return absl::StrCat(states_, handle);
}

RedisCommand RedisStateStore::Script(
    absl::string_view script,
    absl::Span<const absl::string_view> arguments) const {
  RedisCommand command = {"EVAL", script, "3", index_, sizes_, sums_, states_};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

RedisCommand RedisStateStore::Refresh(absl::string_view handle) const {
  return Script(RefreshScript(), {handle});
}

absl::Status RedisStateStore::PutAs(const std::string& handle,
                                    std::string bytes, StoreTime,
                                    absl::Duration time_to_live,
                                    int64_t max_owner_bytes) {
  RWKVD_RETURN_IF_ERROR(
      Reserve(handle, static_cast<int64_t>(bytes.size()), max_owner_bytes));
  const std::string key = KeyOf(handle);
  const std::string ms = absl::StrCat(
      std::max<int64_t>(1, absl::ToInt64Milliseconds(time_to_live)));
  // If the first command fails, the second one ends the reservation.
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> replies,
      Run({{"SET", key, bytes, "PX", ms}, Refresh(handle)}, kMaxOtherReply));
  if (replies[0].kind != Kind::kStatus) return Refused(replies[0]);
  RWKVD_ASSIGN_OR_RETURN(const ScriptResult result, ResultOf(replies[1]));
  // It may also have expired already.
  if (result.code == 0 && time_to_live > absl::Minutes(1)) {
    return Failure("a state was lost as soon as it was stored");
  }
  return absl::OkStatus();
}

absl::Status RedisStateStore::Reserve(const std::string& handle, int64_t size,
                                      int64_t max_owner_bytes) {
  const std::string arguments[] = {
      absl::StrCat(size), absl::StrCat(max_bytes_),
      absl::StrCat(max_owner_bytes),
      absl::StrCat(absl::ToInt64Milliseconds(kLease))};
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> replies,
      Run({Script(ReserveScript(), {handle, arguments[0], arguments[1],
                                    arguments[2], arguments[3]})},
          kMaxOtherReply));
  RWKVD_ASSIGN_OR_RETURN(const ScriptResult result, ResultOf(replies[0]));
  if (result.code == kFull) {
    return NoRoom(size, result.bytes, max_bytes_,
                  absl::Milliseconds(result.detail));
  }
  if (result.code == kOwnerFull) {
    return NoRoomForOwner(size, result.detail, max_owner_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const std::string>> RedisStateStore::Get(
    absl::string_view handle, StoreTime now, int64_t max_bytes) {
  if (!ExpiryOf(handle).has_value()) return NoSuchState(handle, now.system);
  const std::string key = KeyOf(handle);
  auto replies = Run({{"GET", key}}, max_bytes);
  if (absl::IsOutOfRange(replies.status())) {
    log_.Warning(
        absl::StrCat("state store: a state: ", replies.status().message()));
    return DamagedState();
  }
  RWKVD_RETURN_IF_ERROR(replies.status());
  RedisReply& reply = replies->front();
  if (reply.kind != Kind::kNull && reply.kind != Kind::kBytes) {
    return Refused(reply);
  }
  SetUsable(true);
  if (reply.kind == Kind::kNull) return NoSuchState(handle, now.system);
  return std::make_shared<const std::string>(std::move(reply.text));
}

absl::Status RedisStateStore::Delete(absl::string_view handle, StoreTime now) {
  if (!ExpiryOf(handle).has_value()) return NoSuchState(handle, now.system);
  const std::string key = KeyOf(handle);
  RWKVD_ASSIGN_OR_RETURN(const std::vector<RedisReply> replies,
                         Run({{"DEL", key}, Refresh(handle)}, kMaxOtherReply));
  if (replies[0].kind != Kind::kInteger) return Refused(replies[0]);
  // The state is gone. If the script lacks memory even now, the index counts
  // the state until it would have expired.
  if (IsOutOfMemory(replies[1]) || ResultOf(replies[1]).ok()) SetUsable(true);
  return replies[0].integer > 0 ? absl::OkStatus()
                                : NoSuchState(handle, now.system);
}

absl::Status RedisStateStore::Check(StoreTime) {
  const std::string key = absl::StrCat(prefix_, "check");
  const auto replies =
      Run({{"SET", key, "", "PX", "60000"}, Refresh("")}, kMaxOtherReply);
  if (!replies.ok()) return absl::OkStatus();  // it is in the log
  // A lack of memory is reported to those who need it.
  if (IsOutOfMemory(replies->front())) {
    SetUsable(true);
  } else if (replies->front().kind != Kind::kStatus) {
    Refused(replies->front()).IgnoreError();
  } else {
    ResultOf(replies->back()).IgnoreError();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RedisReply>> RedisStateStore::Run(
    absl::Span<const RedisCommand> commands, int64_t max_bytes) {
  auto replies = client_.Run(commands, max_bytes);
  if (replies.ok() || absl::IsOutOfRange(replies.status())) return replies;
  // The log has the failure already after which the server is not tried.
  if (absl::IsFailedPrecondition(replies.status())) return NotUsable();
  return Failure(replies.status().message());
}

absl::StatusOr<RedisStateStore::ScriptResult> RedisStateStore::ResultOf(
    const RedisReply& reply) {
  if (reply.kind != Kind::kIntegers || reply.integers.size() != 4) {
    return Refused(reply);
  }
  const ScriptResult result = {reply.integers[0], reply.integers[1],
                               reply.integers[2], reply.integers[3]};
  absl::MutexLock lock(&mutex_);
  figures_ = {result.handles, result.bytes, true};
  return result;
}

absl::Status RedisStateStore::Refused(const RedisReply& reply) {
  if (IsOutOfMemory(reply)) {
    SetUsable(true);
    return OutOfMemory();
  }
  if (reply.kind != Kind::kError) return Failure("an unexpected reply");
  return Failure(
      absl::StrCat(client_.options().address(), ": ", RedisErrorText(reply)));
}

absl::Status RedisStateStore::Failure(absl::string_view message) {
  log_.Warning(absl::StrCat("state store: ", message));
  return NotUsable();
}

absl::Status RedisStateStore::NotUsable() {
  SetUsable(false);
  return WithRetryAfter(
      MakeError(ErrorReason::kStateStoreFailed,
                "the server cannot use its store of states at the moment"),
      std::max(client_.TimeToRetry(), absl::Seconds(1)));
}

void RedisStateStore::SetUsable(bool is_usable) {
  absl::MutexLock lock(&mutex_);
  figures_.is_usable = is_usable;
}

StateStore::Figures RedisStateStore::figures() const {
  absl::MutexLock lock(&mutex_);
  return figures_;
}

}  // namespace rwkvd
