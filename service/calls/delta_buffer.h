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

// The messages of one Generate call that have not been written yet. A token is
// added to the last message of its sample until that has kMaxDeltaBytes; then
// it starts a new one. So no message exceeds what clients accept by default (4
// MiB).
//
// Owned by one Generate call; thread-compatible.
class DeltaBuffer {
 public:
  // The sizes at which a message is full, and at which the call is ended
  // because its client reads too slowly. A token with all its alternatives has
  // less than 2 KiB, so that a client may leave at least ten thousand tokens
  // unread.
  static constexpr size_t kMaxDeltaBytes = size_t{1} << 20;
  static constexpr size_t kMaxPendingBytes = size_t{64} << 20;

  explicit DeltaBuffer(int32_t num_samples = 1) : open_(num_samples, kNone) {}

  void AddPrompt(int32_t sample, const PromptEvent& event);
  void AddToken(int32_t sample, const TokenEvent& event, bool with_logprob);
  // Adds the bytes of the sample's state, after its last token. They do not
  // count as unread, since their size does not depend on the client.
  void AddState(int32_t sample, std::shared_ptr<const std::string> bytes);
  // Adds the last message of the sample.
  void AddFinish(int32_t sample, ::rwkv::v1::Finish finish);

  // Removes and returns the oldest message. The buffer is not empty.
  ::rwkv::v1::GenerateResponse Pop();
  void Clear();
  // Drops all samples but those in `kept`, and sorts their messages in the
  // order of `kept`.
  void Keep(const std::vector<int32_t>& kept);

  bool empty() const { return messages_.empty(); }
  // Whether more bytes are buffered than a client may leave unread.
  bool overflown() const { return bytes_ > kMaxPendingBytes; }

 private:
  static constexpr int64_t kNone = -1;

  struct Message {
    ::rwkv::v1::GenerateResponse response;
    int32_t sample = 0;
    size_t bytes = 0;  // approximate size on the wire
    // Part of a state that Pop copies into the message, from state_begin on.
    std::shared_ptr<const std::string> state;
    size_t state_begin = 0;
  };

  Message& Append(int32_t sample);
  // The message to which a token of the sample is added.
  Message& Open(int32_t sample);

  std::deque<Message> messages_;
  int64_t num_popped_ = 0;
  // By sample: the number of its last message, counted from the first of all.
  std::vector<int64_t> open_;
  size_t bytes_ = 0;  // of all messages
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_
