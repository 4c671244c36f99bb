// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_json.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/text/byte_alphabet.h"
#include "core/text/json_fields.h"
#include "core/text/nfc.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_pipeline.h"

namespace rwkvd {
namespace {

absl::StatusOr<TokenId> ParseId(const Json& value, absl::string_view where) {
  if (!value.is_number_unsigned() ||
      value.get<uint64_t>() >= static_cast<uint64_t>(kMaxBpeTokens)) {
    return Unexpected(where, absl::StrCat("an id below ", kMaxBpeTokens),
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
      !token.content.empty() && token.content.size() <= kMaxBpeTokenBytes,
      absl::StrCat(where, ".content"),
      absl::StrCat("1 to ", kMaxBpeTokenBytes, " bytes"), content));
  // "special" matters only to programs that skip special tokens.
  const Json& special = Field(value, "special");
  RWKVD_RETURN_IF_ERROR(Expect(special.is_null() || special.is_boolean(),
                               absl::StrCat(where, ".special"), "a boolean",
                               special));
  return token;
}

bool OccursInUtf8(uint8_t byte) {
  return byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
}

// Builds a vocabulary from the parts of one document.
//
// Lives for one ParseTokenizerJson; thread-compatible.
class Assembler {
 public:
  absl::Status AddVocabulary(const Json& vocab) {
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

  absl::Status AddAddedTokens(const Json& list) {
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

  // The 20B vocabulary was trained on text and lacks the bytes that never occur
  // in UTF-8.
  absl::Status FindByteTokens(absl::string_view name) {
    RWKVD_RETURN_IF_ERROR(
        CheckEveryByteIsAToken(name, [this](absl::string_view byte) {
          const uint8_t value = static_cast<uint8_t>(byte[0]);
          const std::optional<TokenId> id = Find(AlphabetCharacter(value));
          result_.byte_ids[value] = id.value_or(-1);
          return id.has_value() || !OccursInUtf8(value);
        }));
    return absl::OkStatus();
  }

  absl::Status AddMerges(const Json& merges) {
    RWKVD_RETURN_IF_ERROR(
        Expect(merges.is_array(), "model.merges", "an array", merges));
    for (size_t i = 0; i < merges.size(); ++i) {
      RWKVD_RETURN_IF_ERROR(
          AddMerge(merges[i], absl::StrCat("model.merges[", i, "]")));
    }
    return absl::OkStatus();
  }

  BpeVocabulary Take() { return std::move(result_); }

 private:
  std::optional<TokenId> Find(const std::string& text) const {
    const auto at = vocab_->find(text);
    if (at == vocab_->end()) return std::nullopt;
    return static_cast<TokenId>(at->get<uint64_t>());  // AddVocabulary checked
  }

  absl::Status AddVocabularyToken(const std::string& text, TokenId id,
                                  absl::string_view where) {
    // A text outside of the byte alphabet is that of an added token, or one
    // that no merge produces.
    std::string bytes = BytesOfAlphabetText(text).value_or(text);
    if (bytes.empty() || bytes.size() > kMaxBpeTokenBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": expected a token of 1 to ", kMaxBpeTokenBytes,
                       " bytes, got ", bytes.size()));
    }
    return Insert(id, std::move(bytes), where);
  }

  absl::Status AddAddedToken(AddedToken token, absl::string_view where) {
    // model.vocab has the content as written; the text has it normalized.
    const std::optional<TokenId> known = Find(token.content);
    if (known && *known != token.id) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".id: expected the id ", *known,
                       " that model.vocab gives it, got ", token.id));
    }
    if (token.normalized) token.content = Nfc(token.content);
    if (!contents_.insert(token.content).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": ", Quoted(token.content), " is an added token already"));
    }
    if (!known) {
      RWKVD_RETURN_IF_ERROR(Insert(token.id, token.content, where));
    } else if (result_.token_bytes[*known] != token.content) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": ", Quoted(token.content),
          " stands for other bytes in model.vocab, which is not supported"));
    }
    result_.added.push_back(std::move(token));
    return absl::OkStatus();
  }

  absl::Status Insert(TokenId id, std::string bytes, absl::string_view where) {
    std::vector<std::string>& all = result_.token_bytes;
    if (static_cast<size_t>(id) >= all.size()) all.resize(id + 1);
    if (!all[id].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": expected each id once, got ", id, " again"));
    }
    all[id] = std::move(bytes);
    return absl::OkStatus();
  }

  // Adds the merge "a b", which newer files write as ["a", "b"].
  absl::Status AddMerge(const Json& merge, absl::string_view where) {
    std::string left;
    std::string right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
        merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    } else if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos) {
        return Unexpected(where, "two tokens with one space between", merge);
      }
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else {
      return Unexpected(where, "a string or two strings", merge);
    }
    return AddRule(left, right, where);
  }

  absl::Status AddRule(const std::string& left, const std::string& right,
                       absl::string_view where) {
    TokenId ids[3];
    const std::string texts[3] = {left, right, left + right};
    for (int i = 0; i < 3; ++i) {
      const std::optional<TokenId> id = Find(texts[i]);
      if (!id) {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ": ", Quoted(texts[i]), " is not in model.vocab"));
      }
      ids[i] = *id;
    }
    if (!result_.merges.Add(ids[0], ids[1], ids[2])) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": expected each pair once, got ", Quoted(left),
                       " and ", Quoted(right), " again"));
    }
    return absl::OkStatus();
  }

  BpeVocabulary result_;
  const Json* vocab_ = nullptr;
  absl::flat_hash_set<std::string> contents_;
};

absl::StatusOr<BpeVocabulary> Assemble(const Json& root) {
  RWKVD_RETURN_IF_ERROR(CheckTokenizerPipeline(root));
  const Json& model = Field(root, "model");
  Assembler assembler;
  RWKVD_RETURN_IF_ERROR(assembler.AddVocabulary(Field(model, "vocab")));
  RWKVD_RETURN_IF_ERROR(assembler.AddAddedTokens(Field(root, "added_tokens")));
  RWKVD_RETURN_IF_ERROR(assembler.FindByteTokens("model.vocab"));
  RWKVD_RETURN_IF_ERROR(assembler.AddMerges(Field(model, "merges")));
  return assembler.Take();
}

}  // namespace

absl::StatusOr<BpeVocabulary> ParseTokenizerJson(absl::string_view text,
                                                 absl::string_view name) {
  RWKVD_ASSIGN_OR_RETURN(
      const Json root,
      ParseJson(text, name,
                {.max_bytes = kMaxTokenizerJsonBytes, .max_depth = 16}));
  absl::StatusOr<BpeVocabulary> vocabulary = Assemble(root);
  if (!vocabulary.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", vocabulary.status().message()));
  }
  return vocabulary;
}

}  // namespace rwkvd
