// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_ADDED_TOKENS_H_
#define RWKVD_CORE_TEXT_ADDED_TOKENS_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "core/text/byte_trie.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// A token that is searched in the text itself, before the text is encoded.
struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool normalized = false;  // searched after normalization, not before
};

// Splits texts at added tokens, as the Hugging Face tokenizers library does:
// first at those that are searched before normalization, and each text between
// them, once normalized, at the others.
//
// Owned by a tokenizer. Thread-safe (immutable).
class AddedTokens {
 public:
  // Receives a text between added tokens, which is not empty, and an added
  // token. They return false to stop.
  using OnText = absl::FunctionRef<bool(absl::string_view)>;
  using OnToken = absl::FunctionRef<bool(TokenId)>;

  // The contents are unique and not empty. `added` need not outlive this.
  explicit AddedTokens(const std::vector<AddedToken>& added);

  // Splits `text` repeatedly at the leftmost match, and of several matches
  // there at the longest. Calls on_token for each added token and on_text for
  // each text between them, in order. Stops, and returns false, when one of
  // them returns false.
  bool SplitRaw(absl::string_view text, OnText on_text, OnToken on_token) const;
  bool SplitNormalized(absl::string_view text, OnText on_text,
                       OnToken on_token) const;

 private:
  const ByteTrie raw_;
  const ByteTrie normalized_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_ADDED_TOKENS_H_
