// SPDX-License-Identifier: Apache-2.0
#include "core/text/world_tokenizer.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/text/tokenizer.h"
#include "core/text/world_vocabulary.h"

namespace rwkvd {
namespace {

absl::Status CheckTokens(const std::vector<std::string>& tokens,
                         absl::string_view name) {
  if (tokens.size() > static_cast<size_t>(WorldTokenizer::kMaxTokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": expected at most ", WorldTokenizer::kMaxTokens,
                     " tokens, got ", tokens.size()));
  }
  if (!tokens.empty() && !tokens[0].empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": expected no bytes for token 0, which ends a document, got ",
        Quoted(tokens[0])));
  }
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].size() <= WorldTokenizer::kMaxTokenBytes) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": token ", id, ": expected at most ",
        WorldTokenizer::kMaxTokenBytes, " bytes, got ", tokens[id].size()));
  }
  return absl::OkStatus();
}

using Entries = std::vector<ByteTrie::Entry>;

// The tokens that have bytes and are not in `added`, sorted by their bytes.
Entries SortedEntries(const std::vector<std::string>& tokens,
                      const std::vector<AddedToken>& added) {
  absl::flat_hash_set<TokenId> added_ids;
  for (const AddedToken& token : added) added_ids.insert(token.id);
  Entries entries;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (tokens[i].empty() || added_ids.contains(id)) continue;
    entries.push_back({tokens[i], id});
  }
  std::sort(entries.begin(), entries.end(),
            [](const ByteTrie::Entry& a, const ByteTrie::Entry& b) {
              return std::tie(a.key, a.value) < std::tie(b.key, b.value);
            });
  return entries;
}

absl::Status CheckUnique(const Entries& sorted, absl::string_view name) {
  const auto twice = std::adjacent_find(
      sorted.begin(), sorted.end(),
      [](const auto& a, const auto& b) { return a.key == b.key; });
  if (twice == sorted.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": expected each token once, got the bytes of token ",
                   twice->value, " again as token ", (twice + 1)->value));
}

// At least 1: every single byte is a token.
int64_t LongestLength(const std::vector<std::string>& tokens,
                      const std::vector<AddedToken>& added) {
  size_t longest = 1;
  for (const std::string& token : tokens) {
    longest = std::max(longest, token.size());
  }
  for (const AddedToken& token : added) {
    longest = std::max(longest, token.content.size());
  }
  return static_cast<int64_t>(longest);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const WorldTokenizer>> WorldTokenizer::Parse(
    absl::string_view vocabulary, absl::string_view name) {
  RWKVD_ASSIGN_OR_RETURN(std::vector<std::string> tokens,
                         ParseWorldVocabulary(vocabulary, name));
  return FromTokens(std::move(tokens), name);
}

absl::StatusOr<std::unique_ptr<const WorldTokenizer>>
WorldTokenizer::FromTokens(std::vector<std::string> tokens,
                           absl::string_view name,
                           const std::vector<AddedToken>& added) {
  RWKVD_RETURN_IF_ERROR(CheckTokens(tokens, name));
  const auto num_listed_ids = static_cast<int64_t>(tokens.size());
  while (!tokens.empty() && tokens.back().empty()) tokens.pop_back();
  Entries entries = SortedEntries(tokens, added);
  RWKVD_RETURN_IF_ERROR(CheckUnique(entries, name));
  ByteTrie trie(std::move(entries));
  RWKVD_RETURN_IF_ERROR(
      CheckEveryByteIsAToken(name, [&trie](absl::string_view byte) {
        return trie.LongestPrefix(byte).length == 1;
      }));
  return absl::WrapUnique(new const WorldTokenizer(
      std::move(tokens), num_listed_ids, std::move(trie), added));
}

WorldTokenizer::WorldTokenizer(std::vector<std::string> tokens,
                               int64_t num_listed_ids, ByteTrie trie,
                               const std::vector<AddedToken>& added)
    : tokens_(std::move(tokens)),
      num_listed_ids_(num_listed_ids),
      splitter_(std::move(trie)),
      added_(added),
      max_token_bytes_(LongestLength(tokens_, added)) {}

absl::StatusOr<std::vector<TokenId>> WorldTokenizer::EncodeUpTo(
    absl::string_view bytes, size_t max_tokens) const {
  std::vector<TokenId> ids;
  const auto append_token = [&](TokenId id) {
    ids.push_back(id);
    return ids.size() <= max_tokens;
  };
  const auto append_text = [&](absl::string_view text) {
    splitter_.Append(text, max_tokens, &ids);
    return ids.size() <= max_tokens;
  };
  added_.SplitRaw(
      bytes,
      [&](absl::string_view text) {
        return added_.SplitNormalized(text, append_text, append_token);
      },
      append_token);
  return ids;
}

absl::string_view WorldTokenizer::TokenBytes(TokenId id) const {
  if (id < 0 || id >= size()) return {};
  return tokens_[id];
}

}  // namespace rwkvd
