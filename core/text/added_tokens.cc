// SPDX-License-Identifier: Apache-2.0
#include "core/text/added_tokens.h"

#include <cstddef>
#include <utility>

namespace rwkvd {
namespace {

ByteTrie MakeTrie(const std::vector<AddedToken>& added, bool normalized) {
  std::vector<ByteTrie::Entry> entries;
  for (const AddedToken& token : added) {
    if (token.normalized != normalized) continue;
    entries.push_back({token.content, token.id});
  }
  return ByteTrie(std::move(entries));
}

bool SplitAt(const ByteTrie& added, absl::string_view text,
             AddedTokens::OnText on_text, AddedTokens::OnToken on_token) {
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    if (!added.HasKeyFrom(text[i])) {
      ++i;
      continue;
    }
    const ByteTrie::Match match = added.LongestPrefix(text.substr(i));
    if (match.value < 0) {
      ++i;
      continue;
    }
    if (i > start && !on_text(text.substr(start, i - start))) return false;
    if (!on_token(match.value)) return false;
    i += match.length;
    start = i;
  }
  return start == text.size() || on_text(text.substr(start));
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& added)
    : raw_(MakeTrie(added, /*normalized=*/false)),
      normalized_(MakeTrie(added, /*normalized=*/true)) {}

bool AddedTokens::SplitRaw(absl::string_view text, OnText on_text,
                           OnToken on_token) const {
  return SplitAt(raw_, text, on_text, on_token);
}

bool AddedTokens::SplitNormalized(absl::string_view text, OnText on_text,
                                  OnToken on_token) const {
  return SplitAt(normalized_, text, on_text, on_token);
}

}  // namespace rwkvd
