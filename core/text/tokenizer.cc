// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer.h"

namespace rwkvd {

std::string Tokenizer::Decode(absl::Span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) {
    const absl::string_view piece = TokenBytes(id);
    bytes.append(piece.data(), piece.size());
  }
  return bytes;
}

}  // namespace rwkvd
