// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_
#define RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/token_texts.h"
#include "service/response_memory.h"

namespace rwkvd {

// The messages of one Generate call that have not been written yet, serialized.
// A token is added to the last message of its sample until that has
// kMaxDeltaBytes; then it starts a new one. So no message exceeds what clients
// accept by default (4 MiB), and the one that a slow client has not read is
// small.
//
// The caller charges the memory before it adds something, with the sizes that
// the functions below return.
//
// Owned by one Generate call; thread-compatible.
class DeltaBuffer {
 public:
  // The size at which a message is full.
  static constexpr size_t kMaxDeltaBytes = size_t{256} << 10;
  // The most that one call may buffer, whatever the budget of all calls. A
  // token with all its alternatives has less than 2 KiB, or some KiB with their
  // texts, so that a client may leave some ten thousand tokens unread.
  static constexpr int64_t kMaxPendingBytes = int64_t{64} << 20;

  // The maximum memory for what is added.
  static int64_t MaxBytes(const PromptEvent& event, TokenTexts texts = {});
  static int64_t MaxBytes(const TokenEvent& event, TokenTexts texts = {});
  static int64_t MaxBytes(const ::rwkv::v1::Finish& finish);
  static int64_t MaxStateBytes(int64_t size);

  explicit DeltaBuffer(int32_t num_samples = 1) : open_(num_samples, kNone) {}

  void AddPrompt(int32_t sample, const PromptEvent& event,
                 ResponseCharge charge, TokenTexts texts = {});
  void AddToken(int32_t sample, const TokenEvent& event, bool with_logprob,
                ResponseCharge charge, TokenTexts texts = {});
  // Adds the bytes of the sample's state, after its last token. They do not
  // count toward kMaxPendingBytes, since a client cannot make them more.
  void AddState(int32_t sample, std::string bytes, ResponseCharge charge);
  // Adds the last message of the sample.
  void AddFinish(int32_t sample, ::rwkv::v1::Finish finish,
                 ResponseCharge charge);

  // A serialized GenerateResponse, and whether it has generated tokens.
  struct Response {
    grpc::ByteBuffer bytes;
    bool has_tokens = false;
  };

  // Removes and returns the oldest message. The buffer is not empty.
  Response Pop();
  void Clear();
  // Drops all samples but those in `kept`, and sorts their messages in the
  // order of `kept`.
  void Keep(const std::vector<int32_t>& kept);

  bool empty() const { return messages_.empty(); }
  // Whether more bytes are buffered than one call may.
  bool overflown() const { return charge_.bytes() > kMaxPendingBytes; }

 private:
  static constexpr int64_t kNone = -1;

  // A state, and its charge.
  struct StateBytes {
    std::string bytes;
    ResponseCharge charge;
  };

  // Either a delta that is being assembled, or part of a state, or a finish.
  struct Message {
    int32_t sample = 0;
    bool has_tokens = false;
    bool is_full = false;
    // Fields of a delta: serialized ones, and the values of `bytes` and `text`.
    std::string fields;
    std::string bytes;
    std::string text;
    std::string finish;  // a serialized response
    std::shared_ptr<const StateBytes> state;
    size_t state_begin = 0;

    size_t size() const {
      return fields.size() + bytes.size() + text.size() + finish.size();
    }
    // The memory that the message takes at most. That of a state is charged
    // separately.
    int64_t footprint() const;
  };

  Message& Append(int32_t sample);
  // The message to which a token of the sample is added.
  Message& Open(int32_t sample);
  // Accounts for a message that had a footprint of `before`.
  void Grown(Message& message, int64_t before);

  static Response ToResponse(Message message, ResponseCharge charge);
  static grpc::ByteBuffer StateChunk(const Message& message);
  // The bytes of a response with the delta.
  static std::vector<std::string> DeltaParts(Message message);

  std::deque<Message> messages_;
  int64_t num_popped_ = 0;
  // By sample: the number of its last message, counted from the first of all.
  std::vector<int64_t> open_;
  int64_t footprint_ = 0;  // of all messages
  ResponseCharge charge_;  // for footprint_
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_DELTA_BUFFER_H_
