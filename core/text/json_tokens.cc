// SPDX-License-Identifier: Apache-2.0
#include "core/text/json_tokens.h"

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/text/byte_alphabet.h"
#include "core/text/json_fields.h"
#include "core/text/nfc.h"
#include "core/text/tokenizer_json.h"

namespace rwkvd {
namespace {

absl::StatusOr<TokenId> ParseId(const Json& value, absl::string_view where) {
  if (!value.is_number_unsigned() ||
      value.get<uint64_t>() >= static_cast<uint64_t>(kMaxJsonTokens)) {
    return Unexpected(where, absl::StrCat("an id below ", kMaxJsonTokens),
                      value);
  }
  return static_cast<TokenId>(value.get<uint64_t>());
}

absl::StatusOr<AddedToken> ParseAddedToken(const Json& value,
                                           absl::string_view where) {
  RWKVD_RETURN_IF_ERROR(ExpectObject(value, where,
                                     {"id", "content", "single_word", "lstrip",
                                      "rstrip", "normalized", "special"}));
  RWKVD_RETURN_IF_ERROR(
      ExpectFalse(value, where, {"single_word", "lstrip", "rstrip"}));
  AddedToken token;
  RWKVD_ASSIGN_OR_RETURN(
      token.id, ParseId(Field(value, "id"), absl::StrCat(where, ".id")));
  const Json& content = Field(value, "content");
  RWKVD_RETURN_IF_ERROR(Expect(content.is_string(),
                               absl::StrCat(where, ".content"), "a string",
                               content));
  token.content = content.get_ref<const std::string&>();
  const Json& normalized = Field(value, "normalized");
  RWKVD_RETURN_IF_ERROR(Expect(normalized.is_boolean(),
                               absl::StrCat(where, ".normalized"), "a boolean",
                               normalized));
  token.normalized = normalized.get<bool>();
  RWKVD_RETURN_IF_ERROR(Expect(
      !token.content.empty() && token.content.size() <= kMaxJsonTokenBytes,
      absl::StrCat(where, ".content"),
      absl::StrCat("1 to ", kMaxJsonTokenBytes, " bytes"), content));
  // "special" matters only to programs that skip special tokens.
  const Json& special = Field(value, "special");
  RWKVD_RETURN_IF_ERROR(Expect(special.is_null() || special.is_boolean(),
                               absl::StrCat(where, ".special"), "a boolean",
                               special));
  return token;
}

}  // namespace

absl::Status JsonTokens::AddVocabulary(const Json& vocab) {
  RWKVD_RETURN_IF_ERROR(
      Expect(vocab.is_object(), "model.vocab", "an object", vocab));
  vocab_ = &vocab;
  for (const auto& [text, id_value] : vocab.items()) {
    const std::string where = absl::StrCat("model.vocab: ", Quoted(text));
    RWKVD_ASSIGN_OR_RETURN(const TokenId id, ParseId(id_value, where));
    RWKVD_RETURN_IF_ERROR(AddVocabularyToken(text, id, where));
  }
  return absl::OkStatus();
}

absl::Status JsonTokens::AddAddedTokens(const Json& list) {
  if (list.is_null()) return absl::OkStatus();
  RWKVD_RETURN_IF_ERROR(
      Expect(list.is_array(), "added_tokens", "an array", list));
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = absl::StrCat("added_tokens[", i, "]");
    RWKVD_ASSIGN_OR_RETURN(AddedToken token, ParseAddedToken(list[i], where));
    RWKVD_RETURN_IF_ERROR(AddAddedToken(std::move(token), where));
  }
  return absl::OkStatus();
}

std::optional<TokenId> JsonTokens::Find(const std::string& text) const {
  const auto at = vocab_->find(text);
  if (at == vocab_->end()) return std::nullopt;
  return static_cast<TokenId>(at->get<uint64_t>());  // AddVocabulary checked
}

absl::Status JsonTokens::AddVocabularyToken(const std::string& text, TokenId id,
                                            absl::string_view where) {
  std::optional<std::string> bytes = BytesOfAlphabetText(text);
  // A text outside of the byte alphabet is that of an added token, or one that
  // no text is encoded as. A WordPiece model fills its unused ids with those.
  if (!bytes.has_value() && model_ == Model::kWordPiece) {
    return Insert(id, "", where);
  }
  if (!bytes.has_value()) bytes = text;
  if (bytes->empty() || bytes->size() > kMaxJsonTokenBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected a token of 1 to ", kMaxJsonTokenBytes,
                     " bytes, got ", bytes->size()));
  }
  return Insert(id, *std::move(bytes), where);
}

absl::Status JsonTokens::AddAddedToken(AddedToken token,
                                       absl::string_view where) {
  // model.vocab has the content as written; the text has it normalized.
  const std::optional<TokenId> known = Find(token.content);
  if (known && *known != token.id) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".id: expected the id ", *known,
                     " that model.vocab gives it, got ", token.id));
  }
  // A WordPiece model has no normalizer.
  if (token.normalized && model_ == Model::kBpe) {
    token.content = Nfc(token.content);
  }
  if (!contents_.insert(token.content).second) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ": ", Quoted(token.content), " is an added token already"));
  }
  if (!known) {
    RWKVD_RETURN_IF_ERROR(Insert(token.id, token.content, where));
  } else if (bytes_[*known].empty()) {
    bytes_[*known] = token.content;
  } else if (bytes_[*known] != token.content) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ": ", Quoted(token.content),
        " stands for other bytes in model.vocab, which is not supported"));
  }
  added_.push_back(std::move(token));
  return absl::OkStatus();
}

absl::Status JsonTokens::Insert(TokenId id, std::string bytes,
                                absl::string_view where) {
  if (static_cast<size_t>(id) >= bytes_.size()) {
    bytes_.resize(id + 1);
    is_used_.resize(id + 1);
  }
  if (is_used_[id]) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected each id once, got ", id, " again"));
  }
  is_used_[id] = true;
  bytes_[id] = std::move(bytes);
  return absl::OkStatus();
}

}  // namespace rwkvd
