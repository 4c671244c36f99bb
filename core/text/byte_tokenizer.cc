// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_tokenizer.h"

#include <array>

#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr std::array<char, 256> AllBytes() {
  std::array<char, 256> bytes{};
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}

constexpr std::array<char, 256> kAllBytes = AllBytes();

}  // namespace

absl::StatusOr<std::vector<TokenId>> ByteTokenizer::EncodeUpTo(
    absl::string_view bytes, size_t max_tokens) const {
  RWKVD_CHECK(bytes.size() <= max_tokens);  // Encode has checked it
  std::vector<TokenId> ids;
  ids.reserve(bytes.size());
  for (const char c : bytes) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

absl::string_view ByteTokenizer::TokenBytes(TokenId id) const {
  if (id < 0 || id >= size()) return {};
  return absl::string_view(&kAllBytes[id], 1);
}

}  // namespace rwkvd
