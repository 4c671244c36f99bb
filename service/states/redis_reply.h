// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_REPLY_H_
#define RWKVD_SERVICE_STATES_REDIS_REPLY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// A reply of a Redis server (RESP2), of the kinds that our commands have. A
// value.
struct RedisReply {
  enum class Kind { kStatus, kError, kInteger, kBytes, kNull, kIntegers };

  Kind kind = Kind::kNull;
  std::string text;  // of a status, an error, or bytes
  int64_t integer = 0;
  std::vector<int64_t> integers;  // an array
};

// Reads replies from a stream, whose bytes may be anything. Memory: one reply,
// and a buffer of kBufferSize. Thread-compatible.
class RedisReader {
 public:
  // Reads between 1 and `size` bytes to `data`, and returns their number.
  using ReadSome =
      absl::AnyInvocable<absl::StatusOr<size_t>(char* data, size_t size)>;

  static constexpr size_t kBufferSize = 16 << 10;
  static constexpr size_t kMaxLine = 4 << 10;
  static constexpr int64_t kMaxIntegers = 16;

  explicit RedisReader(ReadSome read_some) : read_some_(std::move(read_some)) {}

  // The next reply, whose bytes, if it is of this kind, are at most `max_bytes`
  // long. OutOfRange if they are longer, DataLoss if the stream has anything
  // else than a reply, or the error of ReadSome; nothing can be read then.
  absl::StatusOr<RedisReply> Read(int64_t max_bytes);

 private:
  absl::Status Fill();  // the empty buffer
  // The bytes before the next CR LF, which it skips.
  absl::StatusOr<std::string> ReadLine();
  absl::StatusOr<int64_t> ReadInteger();
  // `size` bytes and CR LF.
  absl::StatusOr<std::string> ReadBytes(size_t size);
  absl::StatusOr<RedisReply> ReadBulk(int64_t max_bytes);
  absl::StatusOr<RedisReply> ReadIntegers();

  ReadSome read_some_;
  std::array<char, kBufferSize> buffer_;
  size_t begin_ = 0, end_ = 0;  // what has not been used yet
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_REPLY_H_
