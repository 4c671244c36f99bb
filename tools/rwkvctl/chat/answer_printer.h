// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_ANSWER_PRINTER_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_ANSWER_PRINTER_H_

#include <cstdio>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Prints an answer as it arrives, without its leading white space, and ends it
// with a line break. Thread-compatible; does not own the file.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(std::FILE* out) : out_(out) {}

  void Print(absl::string_view text);
  // Ends the last line, if it is not ended yet.
  void End();

 private:
  std::FILE* const out_;
  bool begun_ = false;
  bool in_line_ = true;  // an empty answer is printed as an empty line
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_ANSWER_PRINTER_H_
