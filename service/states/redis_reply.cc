// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_reply.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

absl::Status Malformed(absl::string_view expected, absl::string_view got) {
  return absl::DataLossError(absl::StrCat("not a reply of Redis: expected ",
                                          expected, ", got ", Quoted(got)));
}

}  // namespace

absl::StatusOr<RedisReply> RedisReader::Read(int64_t max_bytes) {
  RWKVD_RETURN_IF_ERROR(Fill());
  const char type = buffer_[begin_++];
  if (type == '$') return ReadBulk(max_bytes);
  if (type == '*') return ReadIntegers();
  RedisReply reply;
  if (type == ':') {
    reply.kind = RedisReply::Kind::kInteger;
    RWKVD_ASSIGN_OR_RETURN(reply.integer, ReadInteger());
  } else if (type == '+' || type == '-') {
    reply.kind =
        type == '+' ? RedisReply::Kind::kStatus : RedisReply::Kind::kError;
    RWKVD_ASSIGN_OR_RETURN(reply.text, ReadLine());
  } else {
    return Malformed("one of the characters +-:$*",
                     absl::string_view(&type, 1));
  }
  return reply;
}

absl::Status RedisReader::Fill() {
  if (begin_ < end_) return absl::OkStatus();
  begin_ = end_ = 0;
  RWKVD_ASSIGN_OR_RETURN(end_, read_some_(buffer_.data(), buffer_.size()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> RedisReader::ReadLine() {
  std::string line;
  while (true) {
    RWKVD_RETURN_IF_ERROR(Fill());
    const char* const begin = buffer_.data() + begin_;
    const auto* const newline =
        static_cast<const char*>(std::memchr(begin, '\n', end_ - begin_));
    const size_t size = newline == nullptr
                            ? end_ - begin_
                            : static_cast<size_t>(newline - begin);
    if (line.size() + size > kMaxLine) {
      return Malformed(absl::StrCat("a line of at most ", kMaxLine, " bytes"),
                       line);
    }
    line.append(begin, size);
    begin_ += size;
    if (newline == nullptr) continue;
    ++begin_;
    if (line.empty() || line.back() != '\r') {
      return Malformed("a line that ends with CR LF", line);
    }
    line.pop_back();
    return line;
  }
}

absl::StatusOr<int64_t> RedisReader::ReadInteger() {
  RWKVD_ASSIGN_OR_RETURN(const std::string line, ReadLine());
  const absl::string_view digits =
      absl::string_view(line).substr(line[0] == '-' ? 1 : 0);
  int64_t integer = 0;
  if (digits.empty() ||
      !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(line, &integer)) {
    return Malformed("an integer of 64 bits", line);
  }
  return integer;
}

absl::StatusOr<RedisReply> RedisReader::ReadBulk(int64_t max_bytes) {
  RWKVD_ASSIGN_OR_RETURN(const int64_t size, ReadInteger());
  RedisReply reply;
  if (size == -1) return reply;  // null
  if (size < 0) return Malformed("a size", absl::StrCat(size));
  if (size > max_bytes) {
    return absl::OutOfRangeError(
        absl::StrCat("expected at most ", max_bytes, " bytes, got ", size));
  }
  reply.kind = RedisReply::Kind::kBytes;
  RWKVD_ASSIGN_OR_RETURN(reply.text, ReadBytes(static_cast<size_t>(size)));
  return reply;
}

absl::StatusOr<std::string> RedisReader::ReadBytes(size_t size) {
  std::string bytes(size, '\0');
  const size_t buffered = std::min(size, end_ - begin_);
  std::memcpy(bytes.data(), buffer_.data() + begin_, buffered);
  begin_ += buffered;
  for (size_t have = buffered; have < size;) {
    RWKVD_ASSIGN_OR_RETURN(const size_t more,
                           read_some_(bytes.data() + have, size - have));
    have += more;
  }
  RWKVD_ASSIGN_OR_RETURN(const std::string rest, ReadLine());
  if (!rest.empty()) return Malformed("the end of a value", rest);
  return bytes;
}

absl::StatusOr<RedisReply> RedisReader::ReadIntegers() {
  RWKVD_ASSIGN_OR_RETURN(const int64_t size, ReadInteger());
  if (size < 0 || size > kMaxIntegers) {
    return Malformed(
        absl::StrCat("an array of at most ", kMaxIntegers, " integers"),
        absl::StrCat(size));
  }
  RedisReply reply;
  reply.kind = RedisReply::Kind::kIntegers;
  for (int64_t i = 0; i < size; ++i) {
    RWKVD_RETURN_IF_ERROR(Fill());
    const char type = buffer_[begin_++];
    if (type != ':') {
      return Malformed("an integer", absl::string_view(&type, 1));
    }
    RWKVD_ASSIGN_OR_RETURN(const int64_t integer, ReadInteger());
    reply.integers.push_back(integer);
  }
  return reply;
}

}  // namespace rwkvd
