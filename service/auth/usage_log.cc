// SPDX-License-Identifier: Apache-2.0
#include "service/auth/usage_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

int OpenToAppend(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

// Returns the number of bytes that were written; errno says why they are not
// all.
size_t WriteAll(int fd, absl::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = write(fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UsageLog>> UsageLog::Open(
    const std::string& path) {
  const int fd = OpenToAppend(path);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("--usage_log: cannot open ", path));
  }
  return std::unique_ptr<UsageLog>(new UsageLog(path, fd));
}

UsageLog::UsageLog(std::string path, int fd) : path_(std::move(path)), fd_(fd) {
  queue_ = std::make_unique<LineQueue>(
      [this](absl::string_view lines) { Write(lines); },
      [this](int64_t num_lines) {
        failure_log_.Warning(
            absl::StrCat("--usage_log: dropped ", num_lines,
                         " lines, because the disk did not keep up"));
      });
}

UsageLog::~UsageLog() {
  queue_.reset();  // ends its thread, which uses the file
  close(fd_);
}

void UsageLog::Add(absl::Time now, absl::Span<const LogField> fields) {
  queue_->Push(absl::StrCat(
      "{\"time\":\"",
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", now, absl::UTCTimeZone()),
      "\",", FormatLine(LogFormat::kJson, "usage", fields), "}\n"));
}

void UsageLog::Write(absl::string_view lines) {
  if (reopens_.exchange(false)) Reopen();
  const size_t written = WriteAll(fd_, lines);
  if (written == lines.size()) return;
  const absl::string_view lost = lines.substr(written);
  num_failed_ += std::count(lost.begin(), lost.end(), '\n');
  failure_log_.Warning(absl::StrCat("--usage_log: cannot write ",
                                    OneLine(path_), ": ",
                                    std::strerror(errno)));
}

void UsageLog::Reopen() {
  const int fd = OpenToAppend(path_);
  if (fd < 0) {
    failure_log_.Warning(absl::StrCat("--usage_log: cannot open ",
                                      OneLine(path_),
                                      " again: ", std::strerror(errno)));
    return;
  }
  close(std::exchange(fd_, fd));
}

}  // namespace rwkvd
