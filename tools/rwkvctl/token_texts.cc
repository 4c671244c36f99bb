// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/token_texts.h"

#include <cstdint>
#include <vector>

#include "absl/flags/flag.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/input.h"

ABSL_FLAG(bool, tokens, false,
          "Texts are lists of token ids, separated by commas or blanks, also "
          "in the output. For models without a tokenizer.");

namespace rwkvd {

bool TextsAreTokens() { return absl::GetFlag(FLAGS_tokens); }

absl::Status SetInput(const std::string& text, ::rwkv::v1::Input* input) {
  if (!TextsAreTokens()) {
    input->set_bytes(text);
    return absl::OkStatus();
  }
  RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(text));
  input->mutable_tokens()->mutable_ids()->Assign(ids.begin(), ids.end());
  return absl::OkStatus();
}

}  // namespace rwkvd
