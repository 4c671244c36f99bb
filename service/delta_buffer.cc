// SPDX-License-Identifier: Apache-2.0
#include "service/delta_buffer.h"

#include <utility>

#include "core/base/check.h"
#include "service/convert.h"

namespace rwkvd {
namespace {

// What a token takes on the wire at most, and each alternative it lists: tags,
// lengths, an id of up to ten bytes and a double.
constexpr size_t kTokenBytes = 24;
constexpr size_t kAlternativeBytes = 24;

size_t WireBytes(const TokenEvent& event) {
  return kTokenBytes + event.top.size() * kAlternativeBytes +
         event.bytes.size() + event.text.size();
}

}  // namespace

void DeltaBuffer::AddToken(const TokenEvent& event, bool with_logprob) {
  if (messages_.empty() || messages_.back().bytes >= kMaxDeltaBytes) {
    messages_.emplace_back();
  }
  Message& last = messages_.back();
  AppendToken(event, with_logprob, last.response.mutable_delta());
  const size_t bytes = WireBytes(event);
  last.bytes += bytes;
  bytes_ += bytes;
}

void DeltaBuffer::AddFinish(const FinishEvent& event, uint64_t seed) {
  Message& last = messages_.emplace_back();
  ToProto(event, seed, last.response.mutable_finish());
}

v1::GenerateResponse DeltaBuffer::Pop() {
  RWKVD_CHECK(!messages_.empty());
  Message first = std::move(messages_.front());
  messages_.pop_front();
  bytes_ -= first.bytes;
  return std::move(first.response);
}

void DeltaBuffer::Clear() {
  messages_.clear();
  bytes_ = 0;
}

}  // namespace rwkvd
