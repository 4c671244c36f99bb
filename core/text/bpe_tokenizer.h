// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BPE_TOKENIZER_H_
#define RWKVD_CORE_TEXT_BPE_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/added_tokens.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_json.h"
#include "core/text/word_splitter.h"

namespace rwkvd {

// Byte-level BPE with Unicode normalization, the tokenizer of the Pile models.
//
// Encode encodes runs of valid UTF-8 as the Hugging Face tokenizers library
// does, and each invalid byte between them as its own token. The 20B vocabulary
// lacks the 13 bytes that never occur in UTF-8; Encode refuses them.
// Decode(Encode(x)) is x with the text between added tokens in form NFC, and
// without any "<|endoftext|>", which stands for no bytes.
//
// Owned as Tokenizer says. Thread-safe (immutable).
class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeVocabulary vocabulary);

  absl::string_view TokenBytes(TokenId id) const override;
  int64_t max_bytes_per_token() const override { return max_bytes_per_token_; }
  int64_t size() const override {
    return static_cast<int64_t>(vocabulary_.token_bytes.size());
  }
  // The added token "<|endoftext|>".
  std::optional<TokenId> end_of_text() const override { return end_of_text_; }
  absl::string_view kind() const override { return "bpe"; }

 private:
  class Encoder;  // one call of Encode

  absl::StatusOr<std::vector<TokenId>> EncodeUpTo(
      absl::string_view bytes, size_t max_tokens) const override;
  int64_t MaxWorkMemory(absl::string_view bytes) const override;
  // The length of the first part of `text`, which is not empty, such that the
  // parts can be normalized and encoded one after the other.
  size_t FirstBlockOf(absl::string_view text) const;

  const BpeVocabulary vocabulary_;
  const std::optional<TokenId> end_of_text_;
  const AddedTokens added_;
  const WordSplitter splitter_;
  // Whether an added token that is searched after normalization could span two
  // blocks of a text.
  const bool added_contain_word_ends_;
  const int64_t max_bytes_per_token_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BPE_TOKENIZER_H_
