// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/text/byte_alphabet.h"
#include "core/text/json_fields.h"
#include "core/text/json_tokens.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_pipeline.h"

namespace rwkvd {
namespace {

bool OccursInUtf8(uint8_t byte) {
  return byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
}

// The 20B vocabulary was trained on text and lacks the bytes that never occur
// in UTF-8.
absl::Status FindByteTokens(const JsonTokens& tokens,
                            std::array<TokenId, 256>* byte_ids) {
  return CheckEveryByteIsAToken("model.vocab", [&](absl::string_view byte) {
    const uint8_t value = static_cast<uint8_t>(byte[0]);
    const std::optional<TokenId> id = tokens.Find(AlphabetCharacter(value));
    (*byte_ids)[value] = id.value_or(-1);
    return id.has_value() || !OccursInUtf8(value);
  });
}

absl::Status AddRule(const std::string& left, const std::string& right,
                     absl::string_view where, const JsonTokens& tokens,
                     BpeMerges* merges) {
  TokenId ids[3];
  const std::string texts[3] = {left, right, left + right};
  for (int i = 0; i < 3; ++i) {
    const std::optional<TokenId> id = tokens.Find(texts[i]);
    if (!id) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": ", Quoted(texts[i]), " is not in model.vocab"));
    }
    ids[i] = *id;
  }
  if (!merges->Add(ids[0], ids[1], ids[2])) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected each pair once, got ", Quoted(left),
                     " and ", Quoted(right), " again"));
  }
  return absl::OkStatus();
}

// Adds the merge "a b", which newer files write as ["a", "b"].
absl::Status AddMerge(const Json& merge, absl::string_view where,
                      const JsonTokens& tokens, BpeMerges* merges) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
      merge[1].is_string()) {
    return AddRule(merge[0].get_ref<const std::string&>(),
                   merge[1].get_ref<const std::string&>(), where, tokens,
                   merges);
  }
  if (!merge.is_string()) {
    return Unexpected(where, "a string or two strings", merge);
  }
  const auto& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos) {
    return Unexpected(where, "two tokens with one space between", merge);
  }
  return AddRule(text.substr(0, space), text.substr(space + 1), where, tokens,
                 merges);
}

absl::Status AddMerges(const Json& list, const JsonTokens& tokens,
                       BpeMerges* merges) {
  RWKVD_RETURN_IF_ERROR(
      Expect(list.is_array(), "model.merges", "an array", list));
  for (size_t i = 0; i < list.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(AddMerge(
        list[i], absl::StrCat("model.merges[", i, "]"), tokens, merges));
  }
  return absl::OkStatus();
}

absl::StatusOr<JsonTokens> TokensOf(const Json& root, JsonTokens::Model model) {
  JsonTokens tokens(model);
  RWKVD_RETURN_IF_ERROR(
      tokens.AddVocabulary(Field(Field(root, "model"), "vocab")));
  RWKVD_RETURN_IF_ERROR(tokens.AddAddedTokens(Field(root, "added_tokens")));
  return tokens;
}

absl::StatusOr<TokenizerJson> ReadBpe(const Json& root) {
  RWKVD_ASSIGN_OR_RETURN(JsonTokens tokens,
                         TokensOf(root, JsonTokens::Model::kBpe));
  BpeVocabulary result;
  RWKVD_RETURN_IF_ERROR(FindByteTokens(tokens, &result.byte_ids));
  RWKVD_RETURN_IF_ERROR(
      AddMerges(Field(Field(root, "model"), "merges"), tokens, &result.merges));
  result.token_bytes = tokens.TakeBytes();
  result.added = tokens.TakeAdded();
  return result;
}

absl::StatusOr<TokenizerJson> ReadWordPiece(const Json& root) {
  RWKVD_ASSIGN_OR_RETURN(JsonTokens tokens,
                         TokensOf(root, JsonTokens::Model::kWordPiece));
  WordPieceVocabulary result{tokens.TakeBytes(), tokens.TakeAdded()};
  const bool ends_documents =
      std::any_of(result.added.begin(), result.added.end(),
                  [](const AddedToken& token) { return token.id == 0; });
  if (!ends_documents) {
    return absl::InvalidArgumentError(
        "added_tokens: expected token 0, which ends a document, got none");
  }
  result.token_bytes[0].clear();
  return result;
}

absl::StatusOr<TokenizerJson> Read(const Json& root) {
  RWKVD_RETURN_IF_ERROR(CheckTokenizerPipeline(root));
  return IsWordPiece(root) ? ReadWordPiece(root) : ReadBpe(root);
}

}  // namespace

absl::StatusOr<TokenizerJson> ParseTokenizerJson(absl::string_view text,
                                                 absl::string_view name) {
  RWKVD_ASSIGN_OR_RETURN(
      const Json root,
      ParseJson(text, name,
                {.max_bytes = kMaxTokenizerJsonBytes, .max_depth = 16}));
  absl::StatusOr<TokenizerJson> result = Read(root);
  if (result.ok()) return result;
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", result.status().message()));
}

}  // namespace rwkvd
