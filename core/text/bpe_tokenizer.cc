// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_tokenizer.h"

#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "core/text/nfc.h"

namespace rwkvd {
namespace {

std::optional<TokenId> FindEndOfText(const std::vector<AddedToken>& added) {
  for (const AddedToken& token : added) {
    if (token.content == "<|endoftext|>") return token.id;
  }
  return std::nullopt;
}

ByteTrie MakeTrie(const std::vector<AddedToken>& added, bool normalized) {
  std::vector<ByteTrie::Entry> entries;
  for (const AddedToken& token : added) {
    if (token.normalized != normalized) continue;
    entries.push_back({token.content, token.id});
  }
  return ByteTrie(std::move(entries));
}

// Splits `text` at the keys of `added`: repeatedly at the leftmost match, and
// of several matches there at the longest. Calls on_token for each key and
// on_text for each nonempty text between keys, in order.
void SplitAtAdded(const ByteTrie& added, absl::string_view text,
                  absl::FunctionRef<void(absl::string_view)> on_text,
                  absl::FunctionRef<void(TokenId)> on_token) {
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const ByteTrie::Match match = added.LongestPrefix(text.substr(i));
    if (match.value < 0) {
      ++i;
      continue;
    }
    if (i > start) on_text(text.substr(start, i - start));
    on_token(match.value);
    i += match.length;
    start = i;
  }
  if (start < text.size()) on_text(text.substr(start));
}

absl::Status NoTokenFor(char byte, size_t offset) {
  return absl::InvalidArgumentError(absl::StrFormat(
      "byte 0x%02X at offset %d has no token in this vocabulary",
      static_cast<uint8_t>(byte), offset));
}

}  // namespace

// The steps of encoding: split at added tokens, normalize, split into words,
// merge. Each step passes its pieces to the next one; the last appends ids.
//
// Lives for one call of Encode; thread-compatible.
class BpeTokenizer::Encoder {
 public:
  explicit Encoder(const BpeTokenizer& tokenizer) : tokenizer_(tokenizer) {}

  absl::Status EncodeBytes(const absl::string_view all) {
    absl::string_view bytes = all;
    while (!bytes.empty()) {
      const size_t valid = ValidUtf8Length(bytes);
      EncodeText(bytes.substr(0, valid));
      bytes.remove_prefix(valid);
      if (bytes.empty()) break;
      const size_t invalid = FirstUtf8Part(bytes).length;
      for (const char c : bytes.substr(0, invalid)) {
        if (ByteId(c) < 0) return NoTokenFor(c, all.size() - bytes.size());
        ids_.push_back(ByteId(c));
      }
      bytes.remove_prefix(invalid);
    }
    return absl::OkStatus();
  }

  std::vector<TokenId> TakeIds() { return std::move(ids_); }

 private:
  TokenId ByteId(char c) const {
    return tokenizer_.vocabulary_.byte_ids[static_cast<uint8_t>(c)];
  }

  void EncodeText(absl::string_view text) {
    SplitAtAdded(
        tokenizer_.raw_added_, text,
        [this](absl::string_view piece) { EncodeNormalized(Nfc(piece)); },
        [this](TokenId id) { ids_.push_back(id); });
  }

  void EncodeNormalized(absl::string_view text) {
    SplitAtAdded(
        tokenizer_.normalized_added_, text,
        [this](absl::string_view piece) {
          tokenizer_.splitter_.Split(
              piece, [this](absl::string_view word) { EncodeWord(word); });
        },
        [this](TokenId id) { ids_.push_back(id); });
  }

  void EncodeWord(absl::string_view word) {
    word_.clear();
    for (const char c : word) word_.push_back(ByteId(c));
    tokenizer_.vocabulary_.merges.Apply(word_, &scratch_, &ids_);
  }

  const BpeTokenizer& tokenizer_;
  std::vector<TokenId> ids_;
  std::vector<TokenId> word_;
  BpeMerges::Scratch scratch_;
};

BpeTokenizer::BpeTokenizer(BpeVocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)),
      end_of_text_(FindEndOfText(vocabulary_.added)),
      raw_added_(MakeTrie(vocabulary_.added, /*normalized=*/false)),
      normalized_added_(MakeTrie(vocabulary_.added, /*normalized=*/true)) {}

absl::StatusOr<std::unique_ptr<const BpeTokenizer>> BpeTokenizer::Parse(
    absl::string_view tokenizer_json, absl::string_view name) {
  RWKVD_ASSIGN_OR_RETURN(BpeVocabulary vocabulary,
                         ParseTokenizerJson(tokenizer_json, name));
  return std::unique_ptr<const BpeTokenizer>(
      new BpeTokenizer(std::move(vocabulary)));
}

absl::StatusOr<std::vector<TokenId>> BpeTokenizer::Encode(
    absl::string_view bytes) const {
  Encoder encoder(*this);
  RWKVD_RETURN_IF_ERROR(encoder.EncodeBytes(bytes));
  return encoder.TakeIds();
}

absl::string_view BpeTokenizer::TokenBytes(TokenId id) const {
  if (id < 0 || id >= size() || id == end_of_text_) return {};
  return vocabulary_.token_bytes[id];
}

}  // namespace rwkvd
