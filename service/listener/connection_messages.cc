// SPDX-License-Identifier: Apache-2.0
#include "service/listener/connection_messages.h"

#include <algorithm>

#include "service/listener/frame_reader.h"

namespace rwkvd {

void StreamMessages::Receive(absl::string_view data, int64_t cost) {
  cost_ += cost;
  ungranted_ += static_cast<int64_t>(data.size());
  while (!data.empty()) {
    if (TakeMessage(data)) CompleteMessage(static_cast<int64_t>(data.size()));
  }
}

bool StreamMessages::TakeMessage(absl::string_view& data) {
  while (prefix_taken_ < kPrefixBytes) {
    if (data.empty()) return false;
    prefix_[prefix_taken_++] = static_cast<uint8_t>(data.front());
    data.remove_prefix(1);
    if (prefix_taken_ == kPrefixBytes) {
      body_left_ = DecodeUint32(prefix_.data() + 1);
    }
  }
  const size_t size = std::min<size_t>(body_left_, data.size());
  body_left_ -= static_cast<uint32_t>(size);
  data.remove_prefix(size);
  return body_left_ == 0;
}

void StreamMessages::CompleteMessage(int64_t rest) {
  prefix_taken_ = 0;
  cost_ = rest;
  if (has_first_) return;
  has_first_ = true;
  first_ungranted_ = std::max<int64_t>(ungranted_ - rest, 0);
  ungranted_ -= first_ungranted_;
}

void StreamMessages::Keep(int64_t cost) {
  if (cost_ > 0) cost_ += cost;
}

void StreamMessages::Grant(int64_t bytes) {
  const int64_t of_first = std::min(bytes, first_ungranted_);
  first_ungranted_ -= of_first;
  ungranted_ -= bytes - of_first;
}

int64_t StreamMessages::bytes() const {
  return std::max<int64_t>({cost_, ungranted_, 0});
}

void ConnectionMessages::BeginBytes(absl::string_view bytes) {
  absl::MutexLock lock(&mutex_);
  if (bytes.data() != buffer_end_) {
    ChargeRestOfBuffer();
    buffer_begin_ = bytes.data();
    buffer_charged_ = 0;
  }
  buffer_end_ = bytes.data() + bytes.size();
}

void ConnectionMessages::Open(uint32_t stream) {
  absl::MutexLock lock(&mutex_);
  // gRPC ignores even numbers, which are not those of clients.
  if (stream <= last_stream_ || stream % 2 == 0) return;
  if (streams_.size() >= kMaxStreams) return;
  last_stream_ = stream;
  streams_.emplace(stream, StreamMessages());
}

void ConnectionMessages::Receive(uint32_t number, absl::string_view data) {
  absl::MutexLock lock(&mutex_);
  const auto found = streams_.find(number);
  if (found == streams_.end()) return;  // gRPC drops these bytes
  const int64_t end = data.data() + data.size() - buffer_begin_;
  const int64_t cost = end - std::exchange(buffer_charged_, end);
  charged_stream_ = number;
  StreamMessages& messages = found->second;
  Count(messages, [&] { messages.Receive(data, cost); });
}

void ConnectionMessages::EndRequest(uint32_t number) {
  absl::MutexLock lock(&mutex_);
  const auto found = streams_.find(number);
  if (found == streams_.end()) return;
  const StreamMessages& messages = found->second;
  // gRPC drops a first message that can no longer be complete.
  if (!messages.has_first() || messages.bytes() == 0) Remove(found);
}

void ConnectionMessages::Grant(uint32_t number, int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  const auto found = streams_.find(number);
  if (found == streams_.end()) return;
  StreamMessages& messages = found->second;
  Count(messages, [&] { messages.Grant(bytes); });
}

void ConnectionMessages::Close(uint32_t number) {
  absl::MutexLock lock(&mutex_);
  const auto found = streams_.find(number);
  if (found != streams_.end()) Remove(found);
}

void ConnectionMessages::Count(StreamMessages& messages,
                               absl::FunctionRef<void()> change) {
  const int64_t before = messages.bytes();
  change();
  bytes_ += messages.bytes() - before;
}

void ConnectionMessages::ChargeRestOfBuffer() {
  const int64_t rest = buffer_end_ - buffer_begin_ - buffer_charged_;
  const auto found = streams_.find(charged_stream_);
  if (found == streams_.end() || buffer_charged_ == 0) return;
  Count(found->second, [&] { found->second.Keep(rest); });
}

void ConnectionMessages::Remove(Streams::iterator stream) {
  bytes_ -= stream->second.bytes();
  streams_.erase(stream);
}

int64_t ConnectionMessages::bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

int64_t ConnectionMessages::TakeChange() {
  absl::MutexLock lock(&mutex_);
  return bytes_ - std::exchange(reported_, bytes_);
}

}  // namespace rwkvd
