// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_MESSAGES_H_
#define RWKVD_SERVICE_VLLM_VLLM_MESSAGES_H_

#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/sink.h"
#include "core/sampling/logits.h"
#include "core/text/tokenizer.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/calls/generate_protocol.h"
#include "service/response_memory.h"
#include "vllm/vllm_engine.pb.h"

namespace rwkvd {

// What the messages of a call depend on. A value.
struct VllmAnswer {
  bool stream = false;
  bool with_logprobs = false;
  int32_t top_prompt_logprobs = 0;
  int64_t prompt_tokens = 0;
  // Stop sequences that the server has added, whose tokens are not sent: the
  // client does not know that they are not part of the text.
  std::vector<std::string> hidden_stops = {};
  const Tokenizer* tokenizer = nullptr;  // if there are hidden stops
};

// The messages of one call of vllm.grpc.engine.VllmEngine/Generate. With
// `stream`, a token is added to the last chunk of its sample until that is full
// or written. Otherwise the chunk is kept until the sample ends, and becomes
// its GenerateComplete.
//
// A chunk with the prompt's log-probabilities waits for the first token, as the
// protocol has them in the first chunk, unless it is full.
//
// With hidden stops, a token is held until the engine has released a byte of
// it, which it does once the text cannot be the beginning of a stop sequence.
//
// Owned by one Generate call; thread-compatible.
class VllmMessages final : public GenerateMessages {
 public:
  // The memory that makes a chunk full.
  static constexpr int64_t kMaxChunkMemory = int64_t{256} << 10;
  // The most memory of one call, whatever the budget of all calls.
  static constexpr int64_t kMaxPendingBytes = int64_t{64} << 20;

  static int64_t MaxBytes(const PromptEvent& event);
  static int64_t MaxBytes(const TokenEvent& event);
  static int64_t MaxBytes(const ::rwkv::v1::Finish& finish);

  VllmMessages(const VllmAnswer& answer, int32_t num_samples)
      : answer_(answer), samples_(num_samples) {}

  void AddPrompt(int32_t sample, const PromptEvent& event,
                 ResponseCharge charge) override;
  void AddToken(int32_t sample, const TokenEvent& event,
                ResponseCharge charge) override;
  // Not supported by the protocol, whose requests do not ask for it.
  void AddState(int32_t sample, std::string bytes,
                ResponseCharge charge) override;
  void AddFinish(int32_t sample, ::rwkv::v1::Finish finish,
                 ResponseCharge charge) override;

  GenerateMessage Pop() override;
  void Clear() override;
  // `kept` is empty: there is no best_of.
  void Keep(const std::vector<int32_t>& kept) override;

  bool empty() const override;
  bool overflown() const override { return charge_.bytes() > kMaxPendingBytes; }

 private:
  // A chunk or a GenerateComplete, and the memory that it takes at most.
  struct Message {
    ::vllm::grpc::engine::GenerateResponse response;
    int32_t sample = 0;
    int64_t memory = 0;
    bool is_ready = false;  // to be written
  };
  // A token that may belong to a hidden stop.
  struct HeldToken {
    int32_t id = 0;
    double logprob = 0;
    std::vector<TokenLogprob> top;
    int64_t begin = 0;  // of its bytes, in the text of the sample
    int64_t end = 0;
    int64_t memory = 0;
  };
  struct Sample {
    Message* open = nullptr;  // the chunk to which tokens are added, if any
    int32_t last_id = 0;
    std::deque<HeldToken> held;
    int64_t sampled_bytes = 0;
    int64_t released_bytes = 0;  // without held ones
  };

  Message& Append(int32_t sample);
  // The open chunk of the sample, which is made if there is none.
  Message& Open(int32_t sample);
  // Accounts for `memory` that has been added to the open chunk.
  void Grow(Message& message, int64_t memory);
  // Adds a token to the open chunk.
  void Send(int32_t sample, int32_t id, double logprob,
            absl::Span<const TokenLogprob> top);
  void Hold(int32_t sample, const TokenEvent& event);
  // Sends the held tokens that have released bytes, or all.
  void SendHeld(int32_t sample, bool all);
  // Drops them.
  void DropHeld(Sample& sample);
  // The open chunk as a GenerateComplete, or a new message.
  Message& Complete(int32_t sample);
  bool IsHiddenStop(const ::rwkv::v1::Finish& finish) const;
  void SetFinish(const Sample& sample, const ::rwkv::v1::Finish& finish,
                 ::vllm::grpc::engine::GenerateComplete& complete) const;

  const VllmAnswer answer_;
  std::list<Message> messages_;  // whose addresses do not change
  std::vector<Sample> samples_;
  int64_t memory_ = 0;     // of all messages and held tokens
  ResponseCharge charge_;  // for memory_
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_MESSAGES_H_
