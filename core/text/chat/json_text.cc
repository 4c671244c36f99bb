// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/json_text.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/json.h"

namespace rwkvd {
namespace {

void AppendEscaped(char c, std::string* out) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\b':
      out->append("\\b");
      return;
    case '\f':
      out->append("\\f");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      absl::StrAppendFormat(out, "\\u%04x", static_cast<unsigned>(c));
  }
}

bool NeedsEscape(char c) {
  return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ';
}

// Receives the parser's events and writes the document again.
//
// Owned by one RewriteJsonObject call; thread-compatible.
class Rewriter {
 public:
  bool null() { return Value("null"); }
  bool boolean(bool value) { return Value(value ? "true" : "false"); }
  bool number_integer(int64_t value) { return Value(absl::StrCat(value)); }
  bool number_unsigned(uint64_t value) { return Value(absl::StrCat(value)); }
  bool number_float(double, const std::string& text) { return Value(text); }
  bool string(std::string& value) { return Value(JsonString(value)); }
  bool binary(Json::binary_t&) { return false; }  // not in JSON

  bool start_object(size_t) { return Open("{"); }
  bool start_array(size_t) {
    return is_empty_.empty() ? Fail("expected a JSON object, got an array")
                             : Open("[");
  }
  bool end_object() { return Close("}"); }
  bool end_array() { return Close("]"); }

  bool key(std::string& name) {
    Separate();
    absl::StrAppend(&text_, JsonString(name), ": ");
    after_key_ = true;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const Json::exception&) {
    return Fail(absl::StrCat("malformed JSON at byte ", position));
  }

  const std::string& text() const { return text_; }
  const std::string& error() const { return error_; }

 private:
  bool Value(absl::string_view text) {
    if (is_empty_.empty()) return Fail("expected a JSON object");
    Separate();
    absl::StrAppend(&text_, text);
    return true;
  }

  bool Open(absl::string_view bracket) {
    if (is_empty_.size() >= kMaxChatJsonDepth) {
      return Fail(absl::StrCat("expected at most ", kMaxChatJsonDepth,
                               " levels of nested JSON"));
    }
    Separate();
    absl::StrAppend(&text_, bracket);
    is_empty_.push_back(true);
    return true;
  }

  bool Close(absl::string_view bracket) {
    absl::StrAppend(&text_, bracket);
    is_empty_.pop_back();
    return true;
  }

  // Writes what precedes a value or key.
  void Separate() {
    if (!after_key_ && !is_empty_.empty()) {
      if (!is_empty_.back()) absl::StrAppend(&text_, ", ");
      is_empty_.back() = false;
    }
    after_key_ = false;
  }

  bool Fail(absl::string_view error) {
    if (error_.empty()) error_ = std::string(error);
    return false;
  }

  std::string text_;
  std::string error_;
  std::vector<bool> is_empty_;  // of each open container, outermost first
  bool after_key_ = false;
};

}  // namespace

std::string JsonString(absl::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (NeedsEscape(c)) {
      AppendEscaped(c, &json);
    } else {
      json.push_back(c);
    }
  }
  json.push_back('"');
  return json;
}

absl::StatusOr<std::string> RewriteJsonObject(absl::string_view text) {
  Rewriter rewriter;
  if (Json::sax_parse(text.begin(), text.end(), &rewriter)) {
    return rewriter.text();
  }
  return absl::InvalidArgumentError(rewriter.error());
}

absl::Status CheckJsonObject(absl::string_view text) {
  return RewriteJsonObject(text).status();
}

}  // namespace rwkvd
