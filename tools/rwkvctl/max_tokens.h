// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_MAX_TOKENS_H_
#define RWKVD_TOOLS_RWKVCTL_MAX_TOKENS_H_

#include "absl/strings/string_view.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// The source file that defines --max_tokens, a flag of several commands.
inline constexpr absl::string_view kMaxTokensFile =
    "tools/rwkvctl/max_tokens.cc";

// Sets the request's limit if --max_tokens was given.
void SetMaxTokens(::rwkv::v1::GenerateRequest* request);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_MAX_TOKENS_H_
