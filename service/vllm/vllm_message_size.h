// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_MESSAGE_SIZE_H_
#define RWKVD_SERVICE_VLLM_VLLM_MESSAGE_SIZE_H_

#include <cstdint>

#include "core/engine/request.h"
#include "service/calls/response_bytes.h"

namespace rwkvd {

// Upper bounds of what one token takes in a message of vllm.grpc.engine, in
// bytes: on the wire, and in memory. The latter is that of the message, whose
// arrays may have grown to twice their size, and that of its serialized form.

// An id of up to five bytes, a float, and in a list of likeliest tokens both.
inline constexpr int64_t kIdWireBytes = 5;
inline constexpr int64_t kFloatWireBytes = 4;
inline constexpr int64_t kListWireBytes = 16;  // tags and lengths
inline constexpr int64_t kNumberMemory = 13;   // an id or a float
inline constexpr int64_t kListMemory = 192;    // an object with two arrays

constexpr int64_t ListWireBytes(int64_t size) {
  if (size <= 0) return 0;
  return kListWireBytes + size * (kIdWireBytes + kFloatWireBytes);
}

constexpr int64_t ListMemory(int64_t size) {
  return size <= 0 ? 0 : kListMemory + size * 2 * kNumberMemory;
}

// Of a message without tokens: its objects, and what it takes once serialized.
inline constexpr int64_t kNewMessageMemory = kMessageOverhead + 1024;

// Of a generated token, with so many likeliest tokens, and of a token of the
// prompt whose log-probabilities are sent, which has an object of its own.
constexpr int64_t OutputTokenMemory(int64_t num_top) {
  return 3 * kNumberMemory + ListMemory(num_top);
}
constexpr int64_t PromptTokenMemory(int64_t num_top) {
  return 64 + 2 * kNumberMemory + ListMemory(num_top);
}

// The same on the wire, for a token of this request.
inline int64_t OutputWireBytes(const GenerateRequest& request) {
  if (!request.want_logprobs) return kIdWireBytes;
  return 2 * kIdWireBytes + kFloatWireBytes +
         ListWireBytes(request.top_logprobs);
}
inline int64_t PromptWireBytes(const GenerateRequest& request) {
  return kIdWireBytes + kListWireBytes + kFloatWireBytes +
         ListWireBytes(request.echo_top_logprobs);
}

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_MESSAGE_SIZE_H_
