// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/failed_download.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

// Iterates over the text and records the parser's position, which the library
// reports for its own errors only.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** position)
      : at_(at), position_(position) {}

  const char& operator*() const { return *at_; }
  CountingIterator& operator++() {
    *position_ = ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const {
    return at_ == other.at_;
  }
  bool operator!=(const CountingIterator& other) const {
    return at_ != other.at_;
  }

 private:
  const char* at_;
  const char** position_;
};

// The position of the byte number `num_read`. Lines, columns and bytes are
// counted from 1.
std::string LineAndColumn(absl::string_view text, size_t num_read) {
  size_t line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < num_read; ++i) {
    if (text[i] != '\n') continue;
    ++line;
    line_start = i + 1;
  }
  return absl::StrCat("line ", line, ", column ", num_read - line_start);
}

// Receives the parser's events and builds the document. Stops the parser at the
// first value that exceeds a limit, before building it.
//
// Owned by one ParseJson call; thread-compatible.
class Builder {
 public:
  explicit Builder(int max_depth) : max_depth_(max_depth) {}

  bool null() { return Add(nullptr) != nullptr; }
  bool boolean(bool value) { return Add(value) != nullptr; }
  bool number_integer(int64_t value) { return Add(value) != nullptr; }
  bool number_unsigned(uint64_t value) { return Add(value) != nullptr; }
  bool number_float(double value, const std::string&) {
    return Add(value) != nullptr;
  }
  bool string(std::string& value) { return Add(std::move(value)) != nullptr; }
  bool binary(Json::binary_t&) { return false; }  // not in JSON

  bool start_object(size_t) { return Open(Json::object()); }
  bool start_array(size_t) { return Open(Json::array()); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }

  bool key(std::string& name) {
    const auto [at, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new) {
      error_ =
          absl::StrCat("key ", Quoted(name), " occurs twice in one object");
      return false;
    }
    value_of_key_ = &*at;
    return true;
  }

  bool parse_error(size_t, const std::string&, const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const absl::string_view message = error.what();
    const size_t name_end = message.find("] ");
    error_ = std::string(
        name_end == message.npos ? message : message.substr(name_end + 2));
    error_has_position_ = absl::StrContains(error_, " at line ");
    return false;
  }

  Json Take() { return std::move(root_); }
  const std::string& error() const { return error_; }
  bool error_has_position() const { return error_has_position_; }

 private:
  Json* Add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *value_of_key_ = std::move(value);
    return value_of_key_;
  }

  bool Open(Json container) {
    if (open_.size() >= static_cast<size_t>(max_depth_)) {
      error_ = absl::StrCat("nested deeper than ", max_depth_, " levels");
      return false;
    }
    open_.push_back(Add(std::move(container)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const int max_depth_;
  Json root_;
  // The open containers, outermost first. Only the innermost one grows, so the
  // others do not move in memory.
  std::vector<Json*> open_;
  Json* value_of_key_ = nullptr;  // in open_.back(), if that is an object
  std::string error_;
  bool error_has_position_ = false;
};

absl::StatusOr<Json> Parse(absl::string_view text, absl::string_view what,
                           const JsonLimits& limits) {
  const char* position = text.data();
  const char* const end = text.data() + text.size();
  Builder builder(limits.max_depth);
  const bool ok = Json::sax_parse(CountingIterator(text.data(), &position),
                                  CountingIterator(end, &position), &builder);
  if (ok) return builder.Take();
  if (builder.error_has_position()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", builder.error()));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", LineAndColumn(text, position - text.data()),
                   ": ", builder.error()));
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view what,
                               const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": expected at most ", limits.max_bytes,
                     " bytes of JSON, got ", text.size()));
  }
  const absl::string_view failed_download = DescribeFailedDownload(text);
  if (!failed_download.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": expected JSON, got ", failed_download));
  }
  try {
    return Parse(text, what, limits);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", error.what()));
  }
}

}  // namespace rwkvd
