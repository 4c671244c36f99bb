// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_client.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/monotonic_clock.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/owned_fd.h"

namespace rwkvd {
namespace {

constexpr size_t kMaxPassword = 512;
// Larger arguments are sent from where they are.
constexpr size_t kMaxCopied = 16 << 10;
// The first word of an error is its kind, such as WRONGPASS.
constexpr size_t kMaxErrorKind = 20;
constexpr size_t kMaxErrorText = 200;

absl::Status PasswordError(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("--state_store_password_file: ", Quoted(path), ": ", what));
}

// The kind of an error. The rest of its text may repeat what was sent.
std::string KindOf(const RedisReply& error) {
  absl::string_view kind = error.text;
  kind = kind.substr(0, kind.find(' '));
  const bool is_kind = !kind.empty() && kind.size() <= kMaxErrorKind &&
                       absl::c_all_of(kind, absl::ascii_isupper);
  return is_kind ? std::string(kind) : "an error";
}

// Appends to `buffer`, and sends it first where `bytes` are large.
absl::Status Append(absl::string_view bytes, std::string* buffer,
                    RedisStream* stream) {
  if (bytes.size() <= kMaxCopied) {
    buffer->append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  RWKVD_RETURN_IF_ERROR(stream->Write(*buffer));
  buffer->clear();
  return stream->Write(bytes);
}

absl::Status Send(absl::Span<const RedisCommand> commands,
                  RedisStream* stream) {
  std::string buffer;
  for (const RedisCommand& command : commands) {
    absl::StrAppend(&buffer, "*", command.size(), "\r\n");
    for (const absl::string_view word : command) {
      absl::StrAppend(&buffer, "$", word.size(), "\r\n");
      RWKVD_RETURN_IF_ERROR(Append(word, &buffer, stream));
      buffer += "\r\n";
    }
  }
  return stream->Write(buffer);
}

}  // namespace

std::string RedisErrorText(const RedisReply& error) {
  absl::string_view text = error.text;
  text = text.substr(0, text.find(", with args"));
  return OneLine(CutUtf8(text, kMaxErrorText));
}

absl::StatusOr<std::string> ReadRedisPassword(const RedisOptions& options) {
  const std::string& path = options.password_file;
  if (path.empty()) return std::string();
  const OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (!fd.valid() || fstat(fd.get(), &info) != 0) {
    return PasswordError(path, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) return PasswordError(path, "not a regular file");
  char buffer[kMaxPassword + 2];
  const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
  if (size < 0) return PasswordError(path, std::strerror(errno));
  std::string password(buffer, static_cast<size_t>(size));
  absl::StripTrailingAsciiWhitespace(&password);
  if (password.empty() || password.size() > kMaxPassword ||
      !absl::c_all_of(password, absl::ascii_isgraph)) {
    return PasswordError(
        path, absl::StrCat("expected a password of 1 to ", kMaxPassword,
                           " printable characters without spaces"));
  }
  return password;
}

absl::Duration RedisClient::TimeToRetry() const {
  absl::MutexLock lock(&retry_mutex_);
  return std::max(retry_ - MonotonicNow(), absl::ZeroDuration());
}

void RedisClient::SetBackOff(bool has_succeeded) {
  absl::MutexLock lock(&retry_mutex_);
  if (has_succeeded) {
    back_off_ = absl::ZeroDuration();
    return;
  }
  back_off_ = std::clamp(2 * back_off_, kMinBackOff, kMaxBackOff);
  retry_ = MonotonicNow() + back_off_;
}

absl::StatusOr<std::vector<RedisReply>> RedisClient::Run(
    absl::Span<const RedisCommand> commands, int64_t max_bytes) {
  absl::MutexLock lock(&mutex_);
  const absl::Duration wait = TimeToRetry();
  if (wait > absl::ZeroDuration()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: not tried again for %.1f s after a failure",
                        options_.address(), absl::ToDoubleSeconds(wait)));
  }
  const absl::Time deadline = MonotonicNow() + options_.timeout;
  const bool was_connected = connection_ != nullptr;
  auto replies = RunOnce(commands, max_bytes, deadline);
  if (was_connected && absl::IsAborted(replies.status())) {
    replies = RunOnce(commands, max_bytes, deadline);
  }
  SetBackOff(replies.ok() || absl::IsOutOfRange(replies.status()));
  if (replies.ok()) return replies;
  return absl::Status(
      replies.status().code(),
      absl::StrCat(options_.address(), ": ", replies.status().message()));
}

absl::StatusOr<std::vector<RedisReply>> RedisClient::RunOnce(
    absl::Span<const RedisCommand> commands, int64_t max_bytes,
    absl::Time deadline) {
  if (connection_ == nullptr) RWKVD_RETURN_IF_ERROR(Connect(deadline));
  connection_->stream->set_deadline(deadline);
  auto replies = Exchange(commands, max_bytes);
  if (!replies.ok()) connection_.reset();
  return replies;
}

absl::StatusOr<std::vector<RedisReply>> RedisClient::Exchange(
    absl::Span<const RedisCommand> commands, int64_t max_bytes) {
  RWKVD_RETURN_IF_ERROR(Send(commands, connection_->stream.get()));
  std::vector<RedisReply> replies(commands.size());
  for (RedisReply& reply : replies) {
    RWKVD_ASSIGN_OR_RETURN(reply, connection_->reader.Read(max_bytes));
  }
  return replies;
}

absl::Status RedisClient::Connect(absl::Time deadline) {
  RWKVD_ASSIGN_OR_RETURN(std::unique_ptr<RedisStream> stream,
                         RedisStream::Connect(options_, deadline));
  connection_ = std::make_unique<Connection>(std::move(stream));
  absl::Status status = Greet();
  if (!status.ok()) connection_.reset();
  return status;
}

absl::Status RedisClient::Greet() {
  RWKVD_ASSIGN_OR_RETURN(const std::string password,
                         ReadRedisPassword(options_));
  const std::string database = absl::StrCat(options_.database);
  std::vector<RedisCommand> commands;
  if (!password.empty() && options_.user.empty()) {
    commands.push_back({"AUTH", password});
  } else if (!password.empty()) {
    commands.push_back({"AUTH", options_.user, password});
  }
  if (options_.database != 0) commands.push_back({"SELECT", database});
  RWKVD_ASSIGN_OR_RETURN(const std::vector<RedisReply> replies,
                         Exchange(commands, 0));
  for (size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].kind == RedisReply::Kind::kStatus) continue;
    return absl::PermissionDeniedError(absl::StrCat(
        "the server refuses ", commands[i][0], ": ", KindOf(replies[i])));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
