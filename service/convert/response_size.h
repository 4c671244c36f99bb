// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_RESPONSE_SIZE_H_
#define RWKVD_SERVICE_CONVERT_RESPONSE_SIZE_H_

#include <cstdint>

namespace rwkvd {

// The largest message that gRPC clients accept by default. A unary call is
// refused before its answer is computed if the answer could be larger.
inline constexpr int64_t kDefaultMaxResponseBytes = 4 << 20;

// The bytes of `value` in the wire format.
int64_t VarintBytes(uint64_t value);

// The most token ids of [0, num_ids) that surely fit a TokenizeResponse without
// `tokens`, and the most that can fit one with them, of one byte each.
int64_t MaxTokensInResponse(int64_t num_ids);
int64_t MaxTextTokensInResponse();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_RESPONSE_SIZE_H_
