// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/max_tokens.h"

#include <cstdint>
#include <optional>

#include "absl/flags/flag.h"

ABSL_FLAG(
    std::optional<int32_t>, max_tokens, std::nullopt,
    "Maximum number of tokens to generate. Default: 256; 1000 in a chat.");

namespace rwkvd {

void SetMaxTokens(::rwkv::v1::GenerateRequest* request) {
  if (auto v = absl::GetFlag(FLAGS_max_tokens)) request->set_max_tokens(*v);
}

}  // namespace rwkvd
