// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_CONNECTION_MESSAGES_H_
#define RWKVD_SERVICE_LISTENER_CONNECTION_MESSAGES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {

// How much of the data of one stream gRPC has to keep. The data are messages,
// each after a prefix of five bytes: a flag and the size of the message.
//
// gRPC keeps a message until it is complete and the server reads it. The server
// reads the first message of a stream as soon as it is complete. What comes
// later waits until the server asks for it; by then gRPC has granted the client
// as many bytes again (WINDOW_UPDATE) as the server has read. So gRPC keeps at
// most the larger of these two: the message that has arrived in part, and all
// bytes after the first message that were not granted again.
//
// Thread-compatible.
class StreamMessages {
 public:
  // The client has sent `data`, for which gRPC keeps `cost` bytes of memory, at
  // least their size, while their message is incomplete.
  void Receive(absl::string_view data, int64_t cost);
  // gRPC keeps `cost` bytes more for the message that has arrived in part, if
  // there is one.
  void Keep(int64_t cost);
  // gRPC allows the client to send `bytes` more.
  void Grant(int64_t bytes);

  // What gRPC keeps, at most.
  int64_t bytes() const;
  bool has_first() const { return has_first_; }

 private:
  static constexpr size_t kPrefixBytes = 5;

  // Takes bytes of the current message from `data`. Returns whether it is
  // complete.
  bool TakeMessage(absl::string_view& data);
  // A message is complete, and `rest` bytes of later ones have arrived.
  void CompleteMessage(int64_t rest);

  std::array<uint8_t, kPrefixBytes> prefix_ = {};
  size_t prefix_taken_ = 0;  // bytes of the current message's prefix
  uint32_t body_left_ = 0;   // bytes that follow the prefix
  bool has_first_ = false;   // the first message is complete
  int64_t cost_ = 0;         // of the current message
  // Bytes that the client has sent, minus those that it was granted; may be
  // negative. Without those of the first message once that is complete.
  int64_t ungranted_ = 0;
  // Bytes of the first message that were not granted when it was complete.
  int64_t first_ungranted_ = 0;
};

// How much memory gRPC needs for the request messages of one connection that
// are incomplete, or that the server has not read.
//
// gRPC reads into buffers, and keeps a whole buffer while it keeps any byte in
// it. So what lies between the bytes of open streams is charged to the stream
// whose bytes follow, and the rest of a buffer to the last stream in it.
//
// Shared by the threads that receive and send. Thread-safe.
class ConnectionMessages {
 public:
  // More than gRPC accepts; what is sent on further ones is not counted.
  static constexpr size_t kMaxStreams = 1 << 14;

  // What the client sends. The data of streams follow in pieces of `bytes`.
  void BeginBytes(absl::string_view bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Opens a stream if its number is a new one.
  void Open(uint32_t stream) ABSL_LOCKS_EXCLUDED(mutex_);
  void Receive(uint32_t stream, absl::string_view data)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The client sends no more on this stream.
  void EndRequest(uint32_t stream) ABSL_LOCKS_EXCLUDED(mutex_);

  // What the server sends.
  void Grant(uint32_t stream, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // The stream was reset, or the server has ended it.
  void Close(uint32_t stream) ABSL_LOCKS_EXCLUDED(mutex_);

  int64_t bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  // How `bytes` has changed since the last call.
  int64_t TakeChange() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Streams = absl::flat_hash_map<uint32_t, StreamMessages>;

  // Calls `change`, and adds the difference in the bytes of `messages`.
  void Count(StreamMessages& messages, absl::FunctionRef<void()> change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Charges what no stream was charged with.
  void ChargeRestOfBuffer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(Streams::iterator stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  Streams streams_ ABSL_GUARDED_BY(mutex_);  // open ones
  uint32_t last_stream_ ABSL_GUARDED_BY(mutex_) = 0;
  // The buffer of gRPC that was received into last. Bytes that follow each
  // other in memory belong to the same one.
  const char* buffer_begin_ ABSL_GUARDED_BY(mutex_) = nullptr;
  const char* buffer_end_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int64_t buffer_charged_ ABSL_GUARDED_BY(mutex_) = 0;   // of its bytes
  uint32_t charged_stream_ ABSL_GUARDED_BY(mutex_) = 0;  // the last one
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t reported_ ABSL_GUARDED_BY(mutex_) = 0;  // by TakeChange
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_CONNECTION_MESSAGES_H_
