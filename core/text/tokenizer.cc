// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"

namespace rwkvd {

namespace {

// Bytes per token while the list of tokens grows: its old and its new array
// exist together.
constexpr int64_t kGrowingTokenBytes = 3 * sizeof(TokenId);

absl::Status TooManyTokens(int64_t max_tokens) {
  return absl::OutOfRangeError(
      absl::StrCat("has more than ", max_tokens, " tokens"));
}

}  // namespace

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(
    absl::string_view bytes, int64_t max_tokens) const {
  const auto size = static_cast<int64_t>(bytes.size());
  if (size / max_bytes_per_token() > max_tokens)
    return TooManyTokens(max_tokens);
  absl::StatusOr<std::vector<TokenId>> ids =
      EncodeUpTo(bytes, static_cast<size_t>(max_tokens));
  if (ids.ok() && static_cast<int64_t>(ids->size()) > max_tokens) {
    return TooManyTokens(max_tokens);
  }
  return ids;
}

int64_t Tokenizer::MaxEncodeMemory(absl::string_view bytes,
                                   int64_t max_tokens) const {
  const auto size = static_cast<int64_t>(bytes.size());
  const int64_t tokens = std::min(size, max_tokens);
  return kGrowingTokenBytes * (tokens + 1) + MaxWorkMemory(bytes);
}

std::string Tokenizer::Decode(absl::Span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) {
    const absl::string_view piece = TokenBytes(id);
    bytes.append(piece.data(), piece.size());
  }
  return bytes;
}

absl::Status NoBytesError() {
  return MakeError(ErrorReason::kNoTokenizer,
                   "this model has no tokenizer; use token ids");
}

absl::Status CheckEveryByteIsAToken(
    absl::string_view name,
    absl::FunctionRef<bool(absl::string_view byte)> is_token) {
  constexpr size_t kMostNamed = 16;
  std::vector<std::string> missing;
  size_t num_missing = 0;
  for (int i = 0; i < 256; ++i) {
    const char byte = static_cast<char>(i);
    if (is_token(absl::string_view(&byte, 1))) continue;
    if (++num_missing > kMostNamed) continue;
    missing.push_back(absl::StrCat("0x", absl::Hex(i, absl::kZeroPad2)));
  }
  if (num_missing == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": expected the single bytes among the tokens, missing ",
      num_missing, ": ", absl::StrJoin(missing, " "),
      num_missing > kMostNamed ? " ..." : ""));
}

}  // namespace rwkvd
