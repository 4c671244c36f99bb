// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_TOKEN_TEXTS_H_
#define RWKVD_TOOLS_RWKVCTL_TOKEN_TEXTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// The source file that defines --tokens, a flag of several commands.
inline constexpr absl::string_view kTokenTextsFile =
    "tools/rwkvctl/token_texts.cc";

// Whether texts are lists of token ids: the value of --tokens.
bool TextsAreTokens();

// Sets `input` to a text of the command line: to its bytes, which may not be
// valid UTF-8, or to its token ids. Returns the errors of ParseIds.
absl::Status SetInput(const std::string& text, ::rwkv::v1::Input* input);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_TOKEN_TEXTS_H_
