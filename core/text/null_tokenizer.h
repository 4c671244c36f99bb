// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_NULL_TOKENIZER_H_
#define RWKVD_CORE_TEXT_NULL_TOKENIZER_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// Stands for the tokenizer of a model that has none: a model of token ids
// alone, such as one of MIDI events. Encode returns InvalidArgument for any
// text. There is no end-of-text token.
//
// Owned as Tokenizer says. Thread-safe (immutable).
class NullTokenizer final : public Tokenizer {
 public:
  // `size` is that of the model's vocabulary: each id may be sampled.
  explicit NullTokenizer(int64_t size) : size_(size) {}

  bool has_bytes() const override { return false; }
  absl::string_view TokenBytes(TokenId) const override { return {}; }
  // No text has too many tokens: EncodeUpTo refuses it for the right reason.
  int64_t max_bytes_per_token() const override {
    return std::numeric_limits<int64_t>::max();
  }
  int64_t size() const override { return size_; }
  std::optional<TokenId> end_of_text() const override { return std::nullopt; }
  absl::string_view kind() const override { return "none"; }

 private:
  absl::StatusOr<std::vector<TokenId>> EncodeUpTo(absl::string_view,
                                                  size_t) const override {
    return NoBytesError();
  }
  int64_t MaxWorkMemory(absl::string_view) const override { return 0; }

  const int64_t size_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_NULL_TOKENIZER_H_
