// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_LINE_READER_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_LINE_READER_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Reads lines from a terminal or a pipe, and stops waiting when another file
// descriptor becomes readable.
//
// Thread-compatible; owns neither descriptor.
class LineReader {
 public:
  static constexpr size_t kMaxLineBytes = 1 << 20;

  LineReader(int fd, int stop_fd) : fd_(fd), stop_fd_(stop_fd) {}

  // The next line, without its end; nothing at the end of the input. Cancelled
  // once `stop_fd` is readable; InvalidArgument for a line beyond
  // kMaxLineBytes, all of which is skipped.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  // Reads more; false at the end of the input.
  absl::StatusOr<bool> Fill();

  const int fd_;
  const int stop_fd_;
  std::string buffer_;
  bool skipping_ = false;  // the rest of a line that is too long
};

// Puts together what a user says, of one line or several: a line that ends with
// a backslash goes on with the next one, and so does all between two lines of
// """ alone. A value; thread-compatible.
class MessageAssembler {
 public:
  static constexpr size_t kMaxMessageBytes = 4 << 20;

  // Adds a line; whether the message is whole now. InvalidArgument if it has
  // outgrown kMaxMessageBytes; it is dropped.
  absl::StatusOr<bool> Add(absl::string_view line);

  // Whether a message has begun.
  bool empty() const { return text_.empty() && !in_block_; }
  // Ends the message, and gives it.
  std::string Take();

 private:
  std::string text_;
  bool in_block_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_LINE_READER_H_
