// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_KNOWN_TOKENS_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_KNOWN_TOKENS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The tokens that the server has prefilled and generated so far, and their
// text. The next prompt reuses these tokens, so that the server finds the
// prefix in its state cache: the same text split into other tokens would be a
// different prefix.
//
// Thread-compatible.
class KnownTokens {
 public:
  // If `prompt` starts with the known text, returns the known tokens, otherwise
  // none. Sets `rest` to the remaining text, which is still to be tokenized.
  std::vector<int32_t> Prefix(absl::string_view prompt,
                              absl::string_view* rest) const;

  // Replaces the known tokens by `ids`, whose bytes are `text`.
  void Set(std::vector<int32_t> ids, std::string text);
  void Clear() { Set({}, ""); }

 private:
  std::vector<int32_t> ids_;
  std::string text_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_KNOWN_TOKENS_H_
