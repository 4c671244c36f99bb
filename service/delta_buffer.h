// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_DELTA_BUFFER_H_
#define RWKVD_SERVICE_DELTA_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "core/engine/request.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// What a client has not taken yet: tokens join the last message until it has
// kMaxDeltaBytes, then begin another, so that no message outgrows what clients
// accept by default (4 MiB).
//
// Owned by one Generate call; thread-compatible.
class DeltaBuffer {
 public:
  // Where a message is full, and where the client is given up. A token with
  // all its alternatives has less than 1 KiB, so that what a client may leave
  // unread is some ten thousand tokens at least.
  static constexpr size_t kMaxDeltaBytes = size_t{1} << 20;
  static constexpr size_t kMaxPendingBytes = size_t{64} << 20;

  void AddToken(const TokenEvent& event, bool with_logprob);
  void AddFinish(const FinishEvent& event, uint64_t seed);

  // The oldest message; there is one.
  ::rwkv::v1::GenerateResponse Pop();
  void Clear();

  bool empty() const { return messages_.empty(); }
  // Whether more waits than a client may leave unread.
  bool overflown() const { return bytes_ > kMaxPendingBytes; }

 private:
  struct Message {
    ::rwkv::v1::GenerateResponse response;
    size_t bytes = 0;  // about what it takes on the wire
  };

  std::deque<Message> messages_;
  size_t bytes_ = 0;  // of all messages
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_DELTA_BUFFER_H_
