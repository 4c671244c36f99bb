// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_LINE_READER_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_LINE_READER_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Reads lines from a terminal or a pipe. Stops waiting when a second file
// descriptor becomes readable.
//
// Thread-compatible; owns neither descriptor.
class LineReader {
 public:
  static constexpr size_t kMaxLineBytes = 1 << 20;

  LineReader(int fd, int stop_fd) : fd_(fd), stop_fd_(stop_fd) {}

  // Returns the next line without its line break, or nullopt at the end of the
  // input. Cancelled once `stop_fd` is readable. InvalidArgument for a line of
  // more than kMaxLineBytes, which is skipped.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  // Reads more bytes into the buffer. Returns false at the end of the input.
  absl::StatusOr<bool> Fill();

  const int fd_;
  const int stop_fd_;
  std::string buffer_;
  bool skipping_ = false;  // whether the current line is too long
};

// Joins input lines into messages. A message is a single line; or several
// lines, of which all but the last end with a backslash; or the lines between
// two lines that contain only """. A value; thread-compatible.
class MessageAssembler {
 public:
  static constexpr size_t kMaxMessageBytes = 4 << 20;

  // Adds a line. Returns whether the message is complete. InvalidArgument if it
  // has more than kMaxMessageBytes; it is then discarded.
  absl::StatusOr<bool> Add(absl::string_view line);

  // Whether no line was added since the last message.
  bool empty() const { return text_.empty() && !in_block_; }
  // Returns the message and starts a new one.
  std::string Take();

 private:
  std::string text_;
  bool in_block_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_LINE_READER_H_
