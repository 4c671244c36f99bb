// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_KNOWN_TOKENS_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_KNOWN_TOKENS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The tokens that the server has read and written so far, and their text. A
// conversation goes on from them, so that the server finds it in its state
// cache: the same text cut into other tokens would be another prefix.
//
// Thread-compatible.
class KnownTokens {
 public:
  // The known tokens that `prompt` begins with, all or none of them; `rest` is
  // set to the text after them, which is still to be tokenized.
  std::vector<int32_t> Prefix(absl::string_view prompt,
                              absl::string_view* rest) const;

  // `ids` were read and written, and are the bytes of `text`.
  void Set(std::vector<int32_t> ids, std::string text);
  void Clear() { Set({}, ""); }

 private:
  std::vector<int32_t> ids_;
  std::string text_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_KNOWN_TOKENS_H_
