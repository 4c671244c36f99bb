// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/known_tokens.h"

#include <utility>

#include "absl/strings/strip.h"

namespace rwkvd {

std::vector<int32_t> KnownTokens::Prefix(absl::string_view prompt,
                                         absl::string_view* rest) const {
  *rest = prompt;
  if (!absl::ConsumePrefix(rest, text_)) return {};
  return ids_;
}

void KnownTokens::Set(std::vector<int32_t> ids, std::string text) {
  ids_ = std::move(ids);
  text_ = std::move(text);
}

}  // namespace rwkvd
