// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_ANSWER_PRINTER_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_ANSWER_PRINTER_H_

#include <cstdio>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Prints an answer as it comes, without the white space it begins with, and on
// lines of its own. Thread-compatible; does not own the file.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(std::FILE* out) : out_(out) {}

  void Print(absl::string_view text);
  // Ends the last line.
  void End();

 private:
  std::FILE* const out_;
  bool begun_ = false;
  bool in_line_ = true;  // an answer without text has a line, too
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_ANSWER_PRINTER_H_
