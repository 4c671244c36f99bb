// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_JSON_TOKENS_H_
#define RWKVD_CORE_TEXT_JSON_TOKENS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/json.h"
#include "core/text/added_tokens.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Collects the tokens of a tokenizer.json: those of model.vocab, whose texts
// are in the byte alphabet, and added_tokens. The methods that can fail return
// InvalidArgument with the field.
//
// Lives for one ParseTokenizerJson, whose document outlives it;
// thread-compatible.
class JsonTokens {
 public:
  enum class Model { kBpe, kWordPiece };

  explicit JsonTokens(Model model) : model_(model) {}

  // Adds model.vocab. Called once, before AddAddedTokens.
  absl::Status AddVocabulary(const Json& vocab);
  absl::Status AddAddedTokens(const Json& list);

  // Returns the id of a text of model.vocab.
  std::optional<TokenId> Find(const std::string& text) const;

  // The bytes of each token, by id; empty: an unused id.
  std::vector<std::string> TakeBytes() { return std::move(bytes_); }
  // The added tokens, with the contents that are searched.
  std::vector<AddedToken> TakeAdded() { return std::move(added_); }

 private:
  absl::Status AddVocabularyToken(const std::string& text, TokenId id,
                                  absl::string_view where);
  absl::Status AddAddedToken(AddedToken token, absl::string_view where);
  // Gives `id` to a token; it must have none yet.
  absl::Status Insert(TokenId id, std::string bytes, absl::string_view where);

  const Model model_;
  const Json* vocab_ = nullptr;
  std::vector<std::string> bytes_;
  std::vector<bool> is_used_;  // by id
  std::vector<AddedToken> added_;
  absl::flat_hash_set<std::string> contents_;  // of added_
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_JSON_TOKENS_H_
