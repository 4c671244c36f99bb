// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/document_parts.h"

#include <utility>

namespace rwkvd {

size_t CutAtToken(absl::string_view text) {
  for (size_t i = text.size() - 1; i > 0; --i) {
    if (text[i - 1] == '\n' && text[i] != '\n') return i;
  }
  // A byte 10xxxxxx continues a UTF-8 character.
  size_t cut = text.size() - 1;
  while (cut > 0 && (text[cut] & 0xc0) == 0x80) --cut;
  return cut > 0 ? cut : text.size();
}

std::string DocumentParts::Next() {
  const size_t had = rest_.size();
  rest_.resize(kMaxBytes);
  in_->read(&rest_[had], static_cast<std::streamsize>(kMaxBytes - had));
  rest_.resize(had + static_cast<size_t>(in_->gcount()));
  if (rest_.size() < kMaxBytes) return std::exchange(rest_, "");
  const size_t cut = CutAtToken(rest_);
  std::string part = rest_.substr(0, cut);
  rest_.erase(0, cut);
  return part;
}

}  // namespace rwkvd
