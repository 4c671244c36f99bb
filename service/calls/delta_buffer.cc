// SPDX-License-Identifier: Apache-2.0
#include "service/calls/delta_buffer.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/check.h"
#include "service/calls/response_bytes.h"
#include "service/convert/responses.h"

namespace rwkvd {
namespace {

// The most bytes of a token on the wire, and of each alternative that it lists:
// tags, lengths, an id of up to ten bytes and doubles; without their texts. A
// text makes a length take up to two bytes more.
constexpr int64_t kTokenBytes = 35;
constexpr int64_t kAlternativeBytes = 26;

// The tag and length of a finish, and the fields that are set last.
constexpr int64_t kFinishExtraBytes = 64;

// A string that grows has at most twice the capacity that it needs, or that of
// an empty string.
constexpr int64_t kGrowth = 2;

// The strings of a message that is added to, and what a message takes besides.
constexpr int64_t kNewMessageBytes = kMessageOverhead + 256;

// The parts of a smaller message are copied to one string, since each part
// costs as much as such a copy.
constexpr size_t kMaxCopiedBytes = 4096;

int64_t WireBytes(absl::Span<const TokenLogprob> alternatives,
                  TokenTexts texts) {
  int64_t bytes = static_cast<int64_t>(alternatives.size()) * kAlternativeBytes;
  for (const TokenLogprob& alternative : alternatives) {
    bytes += texts.WireBytes(alternative.id);
  }
  return bytes;
}

int64_t WireBytes(const TokenEvent& event, TokenTexts texts) {
  return kTokenBytes + texts.WireBytes(event.id) + WireBytes(event.top, texts) +
         WireBytes(event.top_sampled, texts) +
         static_cast<int64_t>(event.bytes.size() + event.text.size());
}

int64_t WireBytes(const PromptEvent::Token& token, TokenTexts texts) {
  return kTokenBytes + texts.WireBytes(token.id) + WireBytes(token.top, texts);
}

// The first bytes of the field `number`, whose value is `begin` and `rest` more
// bytes.
std::string WithHeaderFor(int number, absl::string_view begin, size_t rest) {
  std::string out;
  AppendFieldHeader(number, begin.size() + rest, &out);
  absl::StrAppend(&out, begin);
  return out;
}

}  // namespace

int64_t DeltaBuffer::MaxBytes(const PromptEvent& event, TokenTexts texts) {
  int64_t bytes = 0;
  for (const PromptEvent::Token& token : event.tokens) {
    bytes += WireBytes(token, texts);
  }
  // A message that becomes full is followed by a new one.
  const int64_t messages = 2 + bytes / static_cast<int64_t>(kMaxDeltaBytes);
  return kGrowth * bytes + messages * kNewMessageBytes;
}

int64_t DeltaBuffer::MaxBytes(const TokenEvent& event, TokenTexts texts) {
  return kGrowth * WireBytes(event, texts) + kNewMessageBytes;
}

int64_t DeltaBuffer::MaxBytes(const v1::Finish& finish) {
  return static_cast<int64_t>(finish.ByteSizeLong()) + kFinishExtraBytes +
         kNewMessageBytes;
}

int64_t DeltaBuffer::MaxStateBytes(int64_t size) {
  const int64_t chunks = 1 + size / static_cast<int64_t>(kStateChunkBytes);
  return size + chunks * kNewMessageBytes;
}

int64_t DeltaBuffer::Message::footprint() const {
  if (state != nullptr) return 0;  // see StateBytes
  const auto bytes = static_cast<int64_t>(size());
  const bool is_final = is_full || !finish.empty();
  return (is_final ? bytes : kGrowth * bytes) + kNewMessageBytes;
}

DeltaBuffer::Message& DeltaBuffer::Append(int32_t sample) {
  Message& message = messages_.emplace_back();
  message.sample = sample;
  return message;
}

DeltaBuffer::Message& DeltaBuffer::Open(int32_t sample) {
  const int64_t open = open_[sample] - num_popped_;
  if (open >= 0 && !messages_[open].is_full) return messages_[open];
  open_[sample] = num_popped_ + static_cast<int64_t>(messages_.size());
  return Append(sample);
}

void DeltaBuffer::Grown(Message& message, int64_t before) {
  if (message.size() >= kMaxDeltaBytes) {
    message.is_full = true;
    message.fields.shrink_to_fit();
    message.bytes.shrink_to_fit();
    message.text.shrink_to_fit();
  }
  footprint_ += message.footprint() - before;
}

void DeltaBuffer::AddPrompt(int32_t sample, const PromptEvent& event,
                            ResponseCharge charge, TokenTexts texts) {
  charge_.Absorb(std::move(charge));
  v1::Delta delta;
  for (const PromptEvent::Token& token : event.tokens) {
    const size_t num_messages = messages_.size();
    Message& message = Open(sample);
    const bool is_new = messages_.size() > num_messages;
    const int64_t before = is_new ? 0 : message.footprint();
    delta.Clear();
    AppendPromptToken(token, texts, &delta);
    // Serialized messages that follow one another are merged by their reader.
    delta.AppendToString(&message.fields);
    Grown(message, before);
  }
  charge_.ShrinkTo(footprint_);
}

void DeltaBuffer::AddToken(int32_t sample, const TokenEvent& event,
                           bool with_logprob, ResponseCharge charge,
                           TokenTexts texts) {
  charge_.Absorb(std::move(charge));
  const size_t num_messages = messages_.size();
  Message& message = Open(sample);
  const bool is_new = messages_.size() > num_messages;
  const int64_t before = is_new ? 0 : message.footprint();
  v1::Delta delta;
  AppendToken(event, with_logprob, texts, &delta);
  message.bytes += delta.bytes();
  message.text += delta.text();
  delta.clear_bytes();
  delta.clear_text();
  delta.AppendToString(&message.fields);
  message.has_tokens = true;
  Grown(message, before);
  charge_.ShrinkTo(footprint_);
}

void DeltaBuffer::AddState(int32_t sample, std::string bytes,
                           ResponseCharge charge) {
  const auto state = std::make_shared<const StateBytes>(
      StateBytes{std::move(bytes), std::move(charge)});
  for (size_t begin = 0; begin < state->bytes.size();
       begin += kStateChunkBytes) {
    Message& message = Append(sample);
    message.state = state;
    message.state_begin = begin;
  }
}

void DeltaBuffer::AddFinish(int32_t sample, v1::Finish finish,
                            ResponseCharge charge) {
  finish.set_sample(sample);
  charge_.Absorb(std::move(charge));
  Message& message = Append(sample);
  message.finish = WithHeaderFor(v1::GenerateResponse::kFinishFieldNumber,
                                 finish.SerializeAsString(), 0);
  Grown(message, 0);
  charge_.ShrinkTo(footprint_);
}

DeltaBuffer::Response DeltaBuffer::Pop() {
  RWKVD_CHECK(!messages_.empty());
  Message first = std::move(messages_.front());
  messages_.pop_front();
  ++num_popped_;
  const int64_t bytes = first.footprint();
  footprint_ -= bytes;
  return ToResponse(std::move(first), charge_.Split(bytes));
}

DeltaBuffer::Response DeltaBuffer::ToResponse(Message message,
                                              ResponseCharge charge) {
  Response response;
  response.has_tokens = message.has_tokens;
  if (message.state != nullptr) {
    response.bytes = StateChunk(message);
    return response;
  }
  std::vector<std::string> parts;
  if (!message.finish.empty()) {
    parts.push_back(std::move(message.finish));
  } else {
    parts = DeltaParts(std::move(message));
  }
  response.bytes = ToByteBuffer(std::move(parts), std::move(charge));
  return response;
}

grpc::ByteBuffer DeltaBuffer::StateChunk(const Message& message) {
  const absl::string_view data =
      absl::string_view(message.state->bytes)
          .substr(message.state_begin, kStateChunkBytes);
  v1::StateChunk chunk;
  chunk.set_sample(message.sample);
  std::string head = chunk.SerializeAsString();
  AppendFieldHeader(v1::StateChunk::kDataFieldNumber, data.size(), &head);
  const grpc::Slice slices[] = {
      grpc::Slice(WithHeaderFor(v1::GenerateResponse::kStateChunkFieldNumber,
                                head, data.size())),
      SliceOf(data, message.state)};
  return grpc::ByteBuffer(slices, std::size(slices));
}

std::vector<std::string> DeltaBuffer::DeltaParts(Message message) {
  v1::Delta delta;
  delta.set_sample(message.sample);
  std::string head = delta.SerializeAsString();
  if (!message.bytes.empty()) {
    AppendFieldHeader(v1::Delta::kBytesFieldNumber, message.bytes.size(),
                      &head);
  }
  std::string text_head;
  if (!message.text.empty()) {
    AppendFieldHeader(v1::Delta::kTextFieldNumber, message.text.size(),
                      &text_head);
  }
  head = WithHeaderFor(v1::GenerateResponse::kDeltaFieldNumber, head,
                       message.size() + text_head.size());
  if (message.size() <= kMaxCopiedBytes) {
    return {absl::StrCat(head, message.bytes, text_head, message.text,
                         message.fields)};
  }
  std::vector<std::string> parts;
  parts.push_back(std::move(head));
  parts.push_back(std::move(message.bytes));
  parts.push_back(std::move(text_head));
  parts.push_back(std::move(message.text));
  parts.push_back(std::move(message.fields));
  return parts;
}

void DeltaBuffer::Clear() { Keep({}); }

void DeltaBuffer::Keep(const std::vector<int32_t>& kept) {
  std::deque<Message> all = std::exchange(messages_, {});
  num_popped_ += static_cast<int64_t>(all.size());  // no message is open
  footprint_ = 0;
  for (const int32_t sample : kept) {
    for (Message& message : all) {
      if (message.sample != sample) continue;
      footprint_ += message.footprint();
      messages_.push_back(std::move(message));
    }
  }
  all.clear();
  charge_.ShrinkTo(footprint_);
}

}  // namespace rwkvd
