// SPDX-License-Identifier: Apache-2.0
#include "service/calls/delta_buffer.h"

#include <utility>

#include "core/base/check.h"
#include "service/convert/responses.h"

namespace rwkvd {
namespace {

// The most bytes of a token on the wire, and of each alternative that it lists:
// tags, lengths, an id of up to ten bytes and doubles.
constexpr size_t kTokenBytes = 33;
constexpr size_t kAlternativeBytes = 24;

size_t WireBytes(const TokenEvent& event) {
  return kTokenBytes +
         (event.top.size() + event.top_sampled.size()) * kAlternativeBytes +
         event.bytes.size() + event.text.size();
}

}  // namespace

DeltaBuffer::Message& DeltaBuffer::Append(int32_t sample) {
  Message& message = messages_.emplace_back();
  message.sample = sample;
  return message;
}

DeltaBuffer::Message& DeltaBuffer::Open(int32_t sample) {
  const int64_t open = open_[sample] - num_popped_;
  if (open >= 0 && messages_[open].bytes < kMaxDeltaBytes) {
    return messages_[open];
  }
  open_[sample] = num_popped_ + static_cast<int64_t>(messages_.size());
  Message& message = Append(sample);
  message.response.mutable_delta()->set_sample(sample);
  return message;
}

void DeltaBuffer::AddPrompt(int32_t sample, const PromptEvent& event) {
  for (const PromptEvent::Token& token : event.tokens) {
    Message& message = Open(sample);
    AppendPromptToken(token, message.response.mutable_delta());
    const size_t bytes = kTokenBytes + token.top.size() * kAlternativeBytes;
    message.bytes += bytes;
    bytes_ += bytes;
  }
}

void DeltaBuffer::AddToken(int32_t sample, const TokenEvent& event,
                           bool with_logprob) {
  Message& message = Open(sample);
  AppendToken(event, with_logprob, message.response.mutable_delta());
  const size_t bytes = WireBytes(event);
  message.bytes += bytes;
  bytes_ += bytes;
}

void DeltaBuffer::AddState(int32_t sample,
                           std::shared_ptr<const std::string> bytes) {
  for (size_t begin = 0; begin < bytes->size(); begin += kStateChunkBytes) {
    Message& message = Append(sample);
    message.state = bytes;
    message.state_begin = begin;
  }
}

void DeltaBuffer::AddFinish(int32_t sample, v1::Finish finish) {
  finish.set_sample(sample);
  *Append(sample).response.mutable_finish() = std::move(finish);
}

v1::GenerateResponse DeltaBuffer::Pop() {
  RWKVD_CHECK(!messages_.empty());
  Message first = std::move(messages_.front());
  messages_.pop_front();
  ++num_popped_;
  bytes_ -= first.bytes;
  if (first.state != nullptr) {
    v1::StateChunk* chunk = first.response.mutable_state_chunk();
    chunk->set_sample(first.sample);
    chunk->set_data(first.state->substr(first.state_begin, kStateChunkBytes));
  }
  return std::move(first.response);
}

void DeltaBuffer::Clear() { Keep({}); }

void DeltaBuffer::Keep(const std::vector<int32_t>& kept) {
  std::deque<Message> all = std::exchange(messages_, {});
  num_popped_ += static_cast<int64_t>(all.size());  // no message is open
  bytes_ = 0;
  for (const int32_t sample : kept) {
    for (Message& message : all) {
      if (message.sample != sample) continue;
      bytes_ += message.bytes;
      messages_.push_back(std::move(message));
    }
  }
}

}  // namespace rwkvd
