// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_messages.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/types/span.h"
#include "core/base/check.h"
#include "service/calls/response_bytes.h"
#include "service/vllm/vllm_message_size.h"

namespace rwkvd {
namespace {

namespace pb = ::vllm::grpc::engine;

int64_t MemoryOf(const PromptEvent::Token& token) {
  return PromptTokenMemory(static_cast<int64_t>(token.top.size()));
}

int64_t MemoryOfToken(absl::Span<const TokenLogprob> top) {
  return OutputTokenMemory(static_cast<int64_t>(top.size()));
}

void SetTop(absl::Span<const TokenLogprob> top, pb::TopLogProbs* list) {
  for (const TokenLogprob& token : top) {
    list->add_values(static_cast<float>(token.logprob));
    list->add_token_ids(static_cast<uint32_t>(token.id));
  }
}

void AddPromptToken(const PromptEvent::Token& token, pb::InputLogProbs* to) {
  pb::InputTokenLogProb* const logprob = to->add_token_logprobs();
  if (token.logprob.has_value()) {
    logprob->set_value(static_cast<float>(*token.logprob));
  }
  to->add_token_ids(static_cast<uint32_t>(token.id));
}

void AddOutputToken(int32_t id, double logprob,
                    absl::Span<const TokenLogprob> top,
                    pb::OutputLogProbs* to) {
  to->add_token_logprobs(static_cast<float>(logprob));
  to->add_token_ids(static_cast<uint32_t>(id));
  if (!top.empty()) SetTop(top, to->add_top_logprobs());
}

const char* NameOf(::rwkv::v1::FinishReason reason) {
  switch (reason) {
    case ::rwkv::v1::FINISH_REASON_LENGTH:
      return "length";
    case ::rwkv::v1::FINISH_REASON_CANCELLED:
      return "abort";
    default:
      return "stop";
  }
}

uint32_t Count(int64_t number) {
  return static_cast<uint32_t>(std::clamp<int64_t>(number, 0, UINT32_MAX));
}

}  // namespace

int64_t VllmMessages::MaxBytes(const PromptEvent& event) {
  int64_t memory = 0;
  for (const PromptEvent::Token& token : event.tokens) {
    memory += MemoryOf(token);
  }
  // A chunk that becomes full is followed by a new one.
  return memory + (2 + memory / kMaxChunkMemory) * kNewMessageMemory;
}

int64_t VllmMessages::MaxBytes(const TokenEvent& event) {
  return MemoryOfToken(event.top) + kNewMessageMemory;
}

int64_t VllmMessages::MaxBytes(const ::rwkv::v1::Finish& finish) {
  return kNewMessageMemory + 2 * static_cast<int64_t>(finish.ByteSizeLong());
}

VllmMessages::Message& VllmMessages::Append(int32_t sample) {
  Message& message = messages_.emplace_back();
  message.sample = sample;
  message.memory = kNewMessageMemory;
  memory_ += message.memory;
  return message;
}

VllmMessages::Message& VllmMessages::Open(int32_t sample) {
  Message*& open = samples_[sample].open;
  if (open != nullptr) return *open;
  open = &Append(sample);
  pb::GenerateStreamChunk& chunk = *open->response.mutable_chunk();
  chunk.set_index(static_cast<uint32_t>(sample));
  chunk.set_prompt_tokens(Count(answer_.prompt_tokens));
  return *open;
}

void VllmMessages::Grow(Message& message, int64_t memory) {
  message.memory += memory;
  memory_ += memory;
  if (!answer_.stream || message.memory < kMaxChunkMemory) return;
  message.is_ready = true;
  samples_[message.sample].open = nullptr;
}

void VllmMessages::AddPrompt(int32_t sample, const PromptEvent& event,
                             ResponseCharge charge) {
  charge_.Absorb(std::move(charge));
  for (const PromptEvent::Token& token : event.tokens) {
    Message& message = Open(sample);
    pb::InputLogProbs& logprobs =
        *message.response.mutable_chunk()->mutable_input_logprobs();
    AddPromptToken(token, &logprobs);
    // The first token has no list, but a place in the array of lists.
    if (answer_.top_prompt_logprobs > 0) {
      SetTop(token.top, logprobs.add_top_logprobs());
    }
    Grow(message, MemoryOf(token));
  }
  charge_.ShrinkTo(memory_);
}

void VllmMessages::AddToken(int32_t sample, const TokenEvent& event,
                            ResponseCharge charge) {
  charge_.Absorb(std::move(charge));
  samples_[sample].last_id = event.id;
  if (answer_.hidden_stops.empty()) {
    Send(sample, event.id, event.logprob, event.top);
  } else {
    Hold(sample, event);
    SendHeld(sample, /*all=*/false);
  }
  charge_.ShrinkTo(memory_);
}

void VllmMessages::Send(int32_t sample, int32_t id, double logprob,
                        absl::Span<const TokenLogprob> top) {
  Message& message = Open(sample);
  pb::GenerateStreamChunk& chunk = *message.response.mutable_chunk();
  chunk.add_token_ids(static_cast<uint32_t>(id));
  chunk.set_completion_tokens(static_cast<uint32_t>(chunk.token_ids_size()));
  if (answer_.with_logprobs) {
    AddOutputToken(id, logprob, top, chunk.mutable_output_logprobs());
  }
  message.is_ready = answer_.stream;
  Grow(message, MemoryOfToken(top));
}

void VllmMessages::Hold(int32_t sample, const TokenEvent& event) {
  Sample& state = samples_[sample];
  HeldToken token{.id = event.id,
                  .logprob = event.logprob,
                  .top = {event.top.begin(), event.top.end()},
                  .begin = state.sampled_bytes,
                  .memory = MaxBytes(event)};
  state.sampled_bytes +=
      static_cast<int64_t>(answer_.tokenizer->TokenBytes(event.id).size());
  token.end = state.sampled_bytes;
  state.released_bytes += static_cast<int64_t>(event.bytes.size());
  memory_ += token.memory;
  state.held.push_back(std::move(token));
}

void VllmMessages::SendHeld(int32_t sample, bool all) {
  Sample& state = samples_[sample];
  while (!state.held.empty()) {
    const HeldToken& first = state.held.front();
    const bool is_released =
        first.begin < state.released_bytes || first.end <= state.released_bytes;
    if (!is_released && !all) return;
    memory_ -= first.memory;
    Send(sample, first.id, first.logprob, first.top);
    state.held.pop_front();
  }
}

void VllmMessages::DropHeld(Sample& sample) {
  for (const HeldToken& token : sample.held) memory_ -= token.memory;
  sample.held.clear();
}

void VllmMessages::AddState(int32_t, std::string, ResponseCharge) {
  RWKVD_CHECK(false);
}

VllmMessages::Message& VllmMessages::Complete(int32_t sample) {
  Message* const open = std::exchange(samples_[sample].open, nullptr);
  if (open != nullptr) open->is_ready = true;
  if (open == nullptr || answer_.stream) return Append(sample);
  pb::GenerateStreamChunk chunk;
  chunk.Swap(open->response.mutable_chunk());
  pb::GenerateComplete& complete = *open->response.mutable_complete();
  complete.mutable_output_ids()->Swap(chunk.mutable_token_ids());
  if (chunk.has_output_logprobs()) {
    complete.set_allocated_output_logprobs(chunk.release_output_logprobs());
  }
  if (chunk.has_input_logprobs()) {
    complete.set_allocated_input_logprobs(chunk.release_input_logprobs());
  }
  return *open;
}

void VllmMessages::SetFinish(const Sample& sample,
                             const ::rwkv::v1::Finish& finish,
                             pb::GenerateComplete& complete) const {
  complete.set_finish_reason(NameOf(finish.reason()));
  complete.set_prompt_tokens(Count(finish.usage().prompt_tokens()));
  complete.set_completion_tokens(Count(finish.usage().generated_tokens()));
  complete.set_cached_tokens(Count(finish.usage().cached_tokens()));
  if (finish.reason() == ::rwkv::v1::FINISH_REASON_STOP_TOKEN) {
    complete.set_matched_token_id(static_cast<uint32_t>(sample.last_id));
  }
  if (finish.reason() == ::rwkv::v1::FINISH_REASON_STOP_STRING &&
      !IsHiddenStop(finish)) {
    complete.set_matched_stop_str(finish.stop_text());
  }
}

bool VllmMessages::IsHiddenStop(const ::rwkv::v1::Finish& finish) const {
  return finish.reason() == ::rwkv::v1::FINISH_REASON_STOP_STRING &&
         absl::c_linear_search(answer_.hidden_stops, finish.stop_text());
}

void VllmMessages::AddFinish(int32_t sample, ::rwkv::v1::Finish finish,
                             ResponseCharge charge) {
  charge_.Absorb(std::move(charge));
  if (IsHiddenStop(finish)) {
    DropHeld(samples_[sample]);
  } else {
    SendHeld(sample, /*all=*/true);
  }
  Message& message = Complete(sample);
  pb::GenerateComplete& complete = *message.response.mutable_complete();
  complete.set_index(static_cast<uint32_t>(sample));
  SetFinish(samples_[sample], finish, complete);
  message.is_ready = true;
  const auto size = static_cast<int64_t>(complete.matched_stop_str().size());
  message.memory += 2 * size;
  memory_ += 2 * size;
  charge_.ShrinkTo(memory_);
}

bool VllmMessages::empty() const {
  return std::none_of(messages_.begin(), messages_.end(),
                      [](const Message& message) { return message.is_ready; });
}

GenerateMessage VllmMessages::Pop() {
  const auto first =
      std::find_if(messages_.begin(), messages_.end(),
                   [](const Message& message) { return message.is_ready; });
  RWKVD_CHECK(first != messages_.end());
  Message*& open = samples_[first->sample].open;
  if (open == &*first) open = nullptr;
  memory_ -= first->memory;
  const pb::GenerateResponse& response = first->response;
  GenerateMessage popped;
  popped.has_tokens = response.chunk().token_ids_size() > 0 ||
                      response.complete().output_ids_size() > 0;
  popped.bytes = ToByteBuffer(response, charge_.Split(first->memory));
  messages_.erase(first);
  return popped;
}

void VllmMessages::Clear() {
  messages_.clear();
  for (Sample& sample : samples_) {
    sample.open = nullptr;
    sample.held.clear();
  }
  memory_ = 0;
  charge_.ShrinkTo(0);
}

void VllmMessages::Keep(const std::vector<int32_t>& kept) {
  RWKVD_CHECK(kept.empty());
  Clear();
}

}  // namespace rwkvd
