// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "core/text/bpe_word_encoder.h"
#include "core/text/nfc.h"
#include "core/text/text_blocks.h"

namespace rwkvd {
namespace {

std::optional<TokenId> FindEndOfText(const std::vector<AddedToken>& added) {
  for (const AddedToken& token : added) {
    if (token.content == "<|endoftext|>") return token.id;
  }
  return std::nullopt;
}

// The longest token, in bytes of a text before its normalization.
int64_t LongestToken(const BpeVocabulary& vocabulary) {
  size_t longest = 1;
  for (const std::string& token : vocabulary.token_bytes) {
    longest = std::max(longest, token.size());
  }
  for (const AddedToken& token : vocabulary.added) {
    longest = std::max(longest, token.content.size());
  }
  return static_cast<int64_t>(longest) * kMaxNfcShrinkage;
}

// Whether a token that is searched after normalization contains the end of a
// block.
bool AnyContainsWordEnd(const std::vector<AddedToken>& added) {
  return std::any_of(added.begin(), added.end(), [](const AddedToken& token) {
    const absl::string_view content = token.content;
    for (size_t i = 1; token.normalized && i < content.size(); ++i) {
      if (absl::ascii_isspace(content[i]) &&
          !absl::ascii_isspace(content[i - 1])) {
        return true;
      }
    }
    return false;
  });
}

absl::Status NoTokenFor(char byte, size_t offset) {
  return MakeError(
      ErrorReason::kTextNotEncodable,
      absl::StrFormat(
          "byte 0x%02X at offset %d has no token in this vocabulary",
          static_cast<uint8_t>(byte), offset));
}

}  // namespace

// The steps of encoding: split at added tokens, normalize, split into words,
// merge. Each step passes its pieces to the next one; the last appends ids. A
// step returns false to stop: there are more than max_ids, or there was an
// error.
//
// Lives for one call of Encode; thread-compatible.
class BpeTokenizer::Encoder {
 public:
  Encoder(const BpeTokenizer& tokenizer, size_t max_ids)
      : tokenizer_(tokenizer),
        max_ids_(max_ids),
        word_encoder_(&tokenizer.vocabulary_.merges,
                      &tokenizer.vocabulary_.byte_ids) {}

  absl::Status EncodeBytes(const absl::string_view all) {
    absl::string_view bytes = all;
    while (!bytes.empty()) {
      const size_t valid = ValidUtf8Length(bytes);
      if (!EncodeText(bytes.substr(0, valid))) return status_;
      bytes.remove_prefix(valid);
      if (bytes.empty()) break;
      const size_t invalid = FirstUtf8Part(bytes).length;
      for (const char c : bytes.substr(0, invalid)) {
        if (ByteId(c) < 0) return NoTokenFor(c, all.size() - bytes.size());
        if (!Append(ByteId(c))) return status_;
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

  bool Append(TokenId id) {
    ids_.push_back(id);
    return ids_.size() <= max_ids_;
  }

  bool EncodeText(absl::string_view text) {
    return tokenizer_.added_.SplitRaw(
        text, [this](absl::string_view piece) { return EncodeBlocks(piece); },
        [this](TokenId id) { return Append(id); });
  }

  // Normalizes `text` in blocks, so that there is no second copy of all of it.
  bool EncodeBlocks(absl::string_view text) {
    while (!text.empty()) {
      const size_t length = tokenizer_.FirstBlockOf(text);
      const absl::string_view block = text.substr(0, length);
      if (!(IsAscii(block) ? EncodeNormalized(block)
                           : EncodeNormalized(Nfc(block)))) {
        return false;
      }
      text.remove_prefix(length);
    }
    return true;
  }

  bool EncodeNormalized(absl::string_view text) {
    return tokenizer_.added_.SplitNormalized(
        text,
        [this](absl::string_view piece) {
          return tokenizer_.splitter_.Split(
              piece,
              [this](absl::string_view word) { return EncodeWord(word); });
        },
        [this](TokenId id) { return Append(id); });
  }

  bool EncodeWord(absl::string_view word) {
    if (!word_encoder_.Append(word, max_ids_, &ids_)) {
      status_ = MakeError(
          ErrorReason::kTextNotEncodable,
          absl::StrFormat("a word of %d bytes cannot be encoded in parts; "
                          "separate it with spaces",
                          word.size()));
      return false;
    }
    return ids_.size() <= max_ids_;
  }

  const BpeTokenizer& tokenizer_;
  const size_t max_ids_;
  std::vector<TokenId> ids_;
  BpeWordEncoder word_encoder_;
  absl::Status status_;
};

BpeTokenizer::BpeTokenizer(BpeVocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)),
      end_of_text_(FindEndOfText(vocabulary_.added)),
      added_(vocabulary_.added),
      added_contain_word_ends_(AnyContainsWordEnd(vocabulary_.added)),
      max_bytes_per_token_(LongestToken(vocabulary_)) {}

absl::StatusOr<std::vector<TokenId>> BpeTokenizer::EncodeUpTo(
    absl::string_view bytes, size_t max_tokens) const {
  Encoder encoder(*this, max_tokens);
  RWKVD_RETURN_IF_ERROR(encoder.EncodeBytes(bytes));
  return encoder.TakeIds();
}

int64_t BpeTokenizer::MaxWorkMemory(absl::string_view bytes) const {
  const auto size = static_cast<int64_t>(bytes.size());
  if (IsAscii(bytes))
    return BpeWordEncoder::MaxMemory(vocabulary_.merges, size);
  int64_t largest = 0;
  while (!bytes.empty()) {
    const size_t length = FirstBlockOf(bytes);
    largest = std::max(largest, MaxNfcMemory(bytes.substr(0, length)));
    bytes.remove_prefix(length);
  }
  // The blocks that are normalized begin elsewhere if there are added tokens or
  // bytes that are not UTF-8, and may be larger by kMinBlockBytes.
  const int64_t nfc = std::min(
      largest + kMaxNfcMemoryPerByte * static_cast<int64_t>(kMinBlockBytes),
      kMaxNfcMemoryPerByte * size);
  return nfc +
         BpeWordEncoder::MaxMemory(vocabulary_.merges, size * kMaxNfcExpansion);
}

size_t BpeTokenizer::FirstBlockOf(absl::string_view text) const {
  return added_contain_word_ends_ ? text.size() : FirstBlock(text);
}

absl::string_view BpeTokenizer::TokenBytes(TokenId id) const {
  if (id < 0 || id >= size() || id == end_of_text_) return {};
  return vocabulary_.token_bytes[id];
}

}  // namespace rwkvd
