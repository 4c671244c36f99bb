// SPDX-License-Identifier: Apache-2.0
#include "core/text/python_literal.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"

namespace rwkvd {
namespace {

// Parses the text between the quotes.
//
// Lives for one ParsePythonLiteral; thread-compatible.
class BodyParser {
 public:
  BodyParser(absl::string_view body, char quote, bool is_bytes)
      : rest_(body), quote_(quote), is_bytes_(is_bytes) {}

  absl::StatusOr<std::string> Parse() {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == quote_) {
        return absl::InvalidArgumentError(
            "a quote inside the literal is not escaped");
      }
      rest_.remove_prefix(1);
      if (c == '\\') {
        RWKVD_RETURN_IF_ERROR(ParseEscape());
      } else if (is_bytes_ && !absl::ascii_isascii(c)) {
        return absl::InvalidArgumentError(
            "a bytes literal can have only ASCII characters");
      } else {
        out_.push_back(c);
      }
    }
    return std::move(out_);
  }

 private:
  absl::Status ParseEscape() {
    if (rest_.empty()) {
      return absl::InvalidArgumentError("the literal ends within an escape");
    }
    const char c = rest_.front();
    rest_.remove_prefix(1);
    if (c == 'x') return ParseHex(c, 2);
    if (c == 'u' && !is_bytes_) return ParseHex(c, 4);
    if (c == 'U' && !is_bytes_) return ParseHex(c, 8);
    constexpr absl::string_view kEscapes = "ntr\\'\"abfv0";
    constexpr absl::string_view kMeanings("\n\t\r\\'\"\a\b\f\v\0", 11);
    const size_t which = kEscapes.find(c);
    // \0 followed by a digit is an octal escape, which is not supported.
    const bool is_octal =
        c == '0' && !rest_.empty() && absl::ascii_isdigit(rest_.front());
    if (which == kEscapes.npos || is_octal) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown escape: a backslash before ",
                       Quoted(absl::string_view(&c, 1))));
    }
    out_.push_back(kMeanings[which]);
    return absl::OkStatus();
  }

  absl::Status ParseHex(char kind, size_t num_digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < num_digits; ++i) {
      if (rest_.size() <= i || !absl::ascii_isxdigit(rest_[i])) {
        return absl::InvalidArgumentError(
            absl::StrCat("\\", absl::string_view(&kind, 1), " needs ",
                         num_digits, " hexadecimal digits"));
      }
      const char lower = absl::ascii_tolower(rest_[i]);
      value = value * 16 + (lower <= '9' ? lower - '0' : lower - 'a' + 10);
    }
    rest_.remove_prefix(num_digits);
    if (is_bytes_) {
      out_.push_back(static_cast<char>(value));
      return absl::OkStatus();
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return absl::InvalidArgumentError(
          absl::StrCat("U+", absl::Hex(value), " is not a character"));
    }
    AppendUtf8(value, &out_);
    return absl::OkStatus();
  }

  absl::string_view rest_;
  const char quote_;
  const bool is_bytes_;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> ParsePythonLiteral(absl::string_view literal) {
  if (ValidUtf8Length(literal) != literal.size()) {
    return absl::InvalidArgumentError("the literal is not UTF-8");
  }
  const bool is_bytes = absl::ConsumePrefix(&literal, "b");
  const char quote = literal.empty() ? '\0' : literal.front();
  if (literal.size() < 2 || (quote != '\'' && quote != '"') ||
      literal.back() != quote) {
    return absl::InvalidArgumentError(
        "expected '...', \"...\", b'...' or b\"...\"");
  }
  return BodyParser(literal.substr(1, literal.size() - 2), quote, is_bytes)
      .Parse();
}

absl::StatusOr<std::string> ParsePythonBytes(absl::string_view body) {
  constexpr char kNoQuote = '\0';
  return BodyParser(body, kNoQuote, /*is_bytes=*/true).Parse();
}

}  // namespace rwkvd
