// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_
#define RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// What a client has not taken yet: tokens join the last message of their sample
// until it has kMaxDeltaBytes, then begin another, so that no message outgrows
// what clients accept by default (4 MiB).
//
// Owned by one Generate call; thread-compatible.
class DeltaBuffer {
 public:
  // Where a message is full, and where the client is given up. A token with
  // all its alternatives has less than 2 KiB, so that what a client may leave
  // unread is some ten thousand tokens at least.
  static constexpr size_t kMaxDeltaBytes = size_t{1} << 20;
  static constexpr size_t kMaxPendingBytes = size_t{64} << 20;

  explicit DeltaBuffer(int32_t num_samples = 1) : open_(num_samples, kNone) {}

  void AddPrompt(int32_t sample, const PromptEvent& event);
  void AddToken(int32_t sample, const TokenEvent& event, bool with_logprob);
  // The bytes of its state. No token of the sample follows. They are no
  // client's slowness, so they do not count as unread.
  void AddState(int32_t sample, std::shared_ptr<const std::string> bytes);
  // Nothing of the sample follows.
  void AddFinish(int32_t sample, ::rwkv::v1::Finish finish);

  // The oldest message; there is one.
  ::rwkv::v1::GenerateResponse Pop();
  void Clear();
  // Drops all but the samples in `kept`, whose messages then come in its order.
  void Keep(const std::vector<int32_t>& kept);

  bool empty() const { return messages_.empty(); }
  // Whether more waits than a client may leave unread.
  bool overflown() const { return bytes_ > kMaxPendingBytes; }

 private:
  static constexpr int64_t kNone = -1;

  struct Message {
    ::rwkv::v1::GenerateResponse response;
    int32_t sample = 0;
    size_t bytes = 0;  // about what it takes on the wire
    // Filled in when its turn comes: these bytes, from state_begin on.
    std::shared_ptr<const std::string> state;
    size_t state_begin = 0;
  };

  Message& Append(int32_t sample);
  // The message that a token of the sample may join.
  Message& Open(int32_t sample);

  std::deque<Message> messages_;
  int64_t num_popped_ = 0;
  std::vector<int64_t> open_;  // by sample: counted from the first ever
  size_t bytes_ = 0;           // of all messages
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_
