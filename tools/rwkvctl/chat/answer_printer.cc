// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/answer_printer.h"

#include "absl/strings/ascii.h"

namespace rwkvd {

void AnswerPrinter::Print(absl::string_view text) {
  if (!begun_) text = absl::StripLeadingAsciiWhitespace(text);
  if (text.empty()) return;
  begun_ = true;
  in_line_ = text.back() != '\n';
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

void AnswerPrinter::End() {
  if (in_line_) std::fputc('\n', out_);
  std::fflush(out_);
}

}  // namespace rwkvd
