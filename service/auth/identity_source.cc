// SPDX-License-Identifier: Apache-2.0
#include "service/auth/identity_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/futex.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/auth/token_file.h"
#include "service/log.h"

namespace rwkvd {
namespace {

absl::Status TokenFileError(absl::string_view operation,
                            const std::string& path) {
  return absl::ErrnoToStatus(errno,
                             absl::StrCat("cannot ", operation, " ", path));
}

FileVersion VersionIn(const struct stat& info) {
  return {info.st_dev, info.st_ino, info.st_size,
          absl::TimeFromTimespec(info.st_mtim),
          absl::TimeFromTimespec(info.st_ctim)};
}

// Whoever can write the file decides who may use the server. That others can
// read it does no harm: it has digests of tokens that cannot be guessed.
absl::Status CheckAccess(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file"));
  }
  if (info.st_uid != 0 && info.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, " belongs to user ", info.st_uid,
        ", expected root or the user who runs this server, ", geteuid()));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s has mode %04o, expected that only its owner can write it: run "
        "chmod go-w",
        path, info.st_mode & 07777));
  }
  if (static_cast<uint64_t>(info.st_size) <= kMaxTokenFileBytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": expected at most ",
                                                 kMaxTokenFileBytes,
                                                 " bytes, got ", info.st_size));
}

// Reads until the end, at most `limit` bytes. Sets errno if that fails.
bool ReadToEnd(int fd, size_t limit, std::string* text) {
  text->resize(limit);
  size_t done = 0;
  while (done < limit) {
    const ssize_t got = read(fd, text->data() + done, limit - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text->resize(done);
  return true;
}

}  // namespace

FileVersion VersionOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return {};
  return VersionIn(info);
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  // With O_NONBLOCK, a pipe is opened at once and refused below.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return TokenFileError("open", path);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat before, after;
  if (fstat(fd, &before) != 0) return TokenFileError("examine", path);
  RWKVD_RETURN_IF_ERROR(CheckAccess(before, path));
  std::string text;
  if (!ReadToEnd(fd, kMaxTokenFileBytes + 1, &text)) {
    return TokenFileError("read", path);
  }
  if (fstat(fd, &after) != 0) return TokenFileError("examine", path);
  if (VersionIn(before) == VersionIn(after) &&
      static_cast<off_t>(text.size()) == after.st_size) {
    return text;
  }
  return absl::UnavailableError(
      absl::StrCat(path,
                   " changed while it was read; rename a complete file "
                   "to this name instead"));
}

absl::StatusOr<std::unique_ptr<IdentitySource>> IdentitySource::Open(
    const std::string& path, absl::Duration check_interval) {
  std::unique_ptr<IdentitySource> source(
      new IdentitySource(path, check_interval));
  RWKVD_RETURN_IF_ERROR(source->Reload());
  source->thread_ = std::thread([source = source.get()] { source->Run(); });
  return source;
}

IdentitySource::IdentitySource(std::string path, absl::Duration check_interval)
    : path_(std::move(path)), check_interval_(check_interval) {}

IdentitySource::~IdentitySource() {
  stop_ = true;
  ReloadSoon();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const IdentityTable> IdentitySource::table() const {
  absl::MutexLock lock(&mutex_);
  return table_;
}

void IdentitySource::ReloadSoon() {
  num_wishes_.fetch_add(1);
  FutexWake(num_wishes_, 1);
}

IdentitySource::Figures IdentitySource::figures() const {
  absl::MutexLock lock(&mutex_);
  return figures_;
}

void IdentitySource::Run() {
  uint32_t num_fulfilled = 0;
  while (!stop_) {
    // Returns at once if there are new wishes.
    FutexWait(num_wishes_, num_fulfilled,
              absl::ToChronoMicroseconds(check_interval_));
    if (stop_) return;
    const uint32_t num_wishes = num_wishes_;
    const bool is_wished = num_wishes != num_fulfilled;
    num_fulfilled = num_wishes;
    if (!is_wished && VersionOf(path_) == tried_) continue;
    const absl::Status status = Reload();
    if (status.ok()) {
      LogInfo(absl::StrCat("--auth_tokens: read ", OneLine(path_), " again"));
    } else {
      LogWarning(absl::StrCat(
          "--auth_tokens: the identities of the last good copy stay valid: ",
          OneLine(status.message())));
    }
  }
}

absl::Status IdentitySource::Reload() {
  // Before it is read: a later change is noticed by the next look.
  tried_ = VersionOf(path_);
  const auto load = [this]() -> absl::StatusOr<IdentityTable> {
    RWKVD_ASSIGN_OR_RETURN(const std::string text, ReadTokenFile(path_));
    RWKVD_ASSIGN_OR_RETURN(const std::vector<IdentityEntry> entries,
                           ParseTokenFile(text, path_));
    return IdentityTable(entries);
  };
  absl::StatusOr<IdentityTable> table = load();
  absl::MutexLock lock(&mutex_);
  figures_.is_current = table.ok();
  if (!table.ok()) {
    ++figures_.failures;
    return table.status();
  }
  if (table_ != nullptr) ++figures_.reloads;
  table_ = std::make_shared<const IdentityTable>(*std::move(table));
  figures_.num_identities = static_cast<int64_t>(table_->identities().size());
  return absl::OkStatus();
}

}  // namespace rwkvd
