// SPDX-License-Identifier: Apache-2.0
#include "service/convert/response_size.h"

namespace rwkvd {
namespace {

// The tag and the length of a packed list.
constexpr int64_t kListHeaderBytes = 1 + 5;

}  // namespace

int64_t VarintBytes(uint64_t value) {
  int64_t bytes = 1;
  for (; value >= 128; value >>= 7) ++bytes;
  return bytes;
}

int64_t MaxTextTokensInResponse() {
  // The id twice, the tags and lengths of `bytes` and `text`, and those of the
  // token.
  constexpr int64_t kLeastBytes = 1 + 2 + 3 + 3 + 2;
  return kDefaultMaxResponseBytes / kLeastBytes;
}

int64_t MaxTokensInResponse(int64_t num_ids) {
  return (kDefaultMaxResponseBytes - kListHeaderBytes) /
         VarintBytes(static_cast<uint64_t>(num_ids));
}

}  // namespace rwkvd
