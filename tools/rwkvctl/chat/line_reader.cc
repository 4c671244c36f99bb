// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"

namespace rwkvd {

absl::StatusOr<bool> LineReader::Fill() {
  pollfd fds[] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0) {
    if (errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
  }
  if (fds[1].revents != 0) return absl::CancelledError("interrupted");
  char bytes[4096];
  const ssize_t count = read(fd_, bytes, sizeof(bytes));
  if (count < 0) return absl::ErrnoToStatus(errno, "standard input");
  buffer_.append(bytes, static_cast<size_t>(count));
  return count > 0;
}

absl::StatusOr<std::optional<std::string>> LineReader::Next() {
  size_t searched = 0;
  while (true) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (std::exchange(skipping_, false)) {
        return absl::InvalidArgumentError(
            absl::StrCat("the line is longer than ", kMaxLineBytes, " bytes"));
      }
      return line;
    }
    if (buffer_.size() > kMaxLineBytes) {
      skipping_ = true;
      buffer_.clear();
    }
    searched = buffer_.size();
    RWKVD_ASSIGN_OR_RETURN(const bool more, Fill());
    if (more) continue;
    if (buffer_.empty() || skipping_) return std::nullopt;
    return std::exchange(buffer_, "");
  }
}

absl::StatusOr<bool> MessageAssembler::Add(absl::string_view line) {
  if (text_.size() + line.size() > kMaxMessageBytes) {
    *this = MessageAssembler();
    return absl::InvalidArgumentError(absl::StrCat(
        "the message is longer than ", kMaxMessageBytes, " bytes"));
  }
  const bool is_fence = absl::StripAsciiWhitespace(line) == "\"\"\"";
  if (is_fence && (in_block_ || text_.empty())) {
    in_block_ = !in_block_;
    return !in_block_;
  }
  if (in_block_) {
    absl::StrAppend(&text_, line, "\n");
    return false;
  }
  const bool continues = absl::ConsumeSuffix(&line, "\\");
  absl::StrAppend(&text_, line, continues ? "\n" : "");
  return !continues;
}

std::string MessageAssembler::Take() {
  in_block_ = false;
  return std::exchange(text_, "");
}

}  // namespace rwkvd
