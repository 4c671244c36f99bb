// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_H_
#define RWKVD_CORE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// The index of a token's row in the embedding. Not negative once validated.
using TokenId = int32_t;

// Converts bytes to the token ids that a model was trained on, and back.
//
// Owned by the loaded model. Thread-safe (immutable).
class Tokenizer {
 public:
  // A limit that no text exceeds.
  static constexpr int64_t kNoTokenLimit = std::numeric_limits<int64_t>::max();

  virtual ~Tokenizer() = default;

  // Encodes any bytes, valid UTF-8 or not. Decode(Encode(x)) == x, with two
  // exceptions: a tokenizer with a Unicode normalization returns the normalized
  // form, and one that recognizes the end of text in a text removes it. Returns
  // InvalidArgument, with the byte and its offset, for a byte that has no
  // token: some vocabularies lack the bytes that never occur in UTF-8 (C0, C1,
  // F5 to FF). Returns OutOfRange if there are more than `max_tokens` tokens;
  // the bytes are then not encoded to the end, and if their number alone shows
  // it, not at all.
  absl::StatusOr<std::vector<TokenId>> Encode(
      absl::string_view bytes, int64_t max_tokens = kNoTokenLimit) const;

  // An upper bound of the memory that Encode allocates, in bytes.
  int64_t MaxEncodeMemory(absl::string_view bytes, int64_t max_tokens) const;

  // Returns whether tokens stand for bytes. They do, except for a model that
  // has no tokenizer: then Encode returns NoBytesError, and all TokenBytes are
  // empty.
  virtual bool has_bytes() const { return true; }

  // Returns the bytes of token `id`, which need not be valid UTF-8. They are
  // empty for the end of text, for ids outside of [0, size()), and for ids that
  // the vocabulary does not use.
  virtual absl::string_view TokenBytes(TokenId id) const = 0;

  // Returns an upper bound of the number of bytes of a text that become one
  // token. At least 1.
  virtual int64_t max_bytes_per_token() const = 0;

  // Returns the largest id plus one. A model's vocabulary may be larger (rows
  // that were never trained); ids from size() on are never sampled, and neither
  // are smaller ones that the vocabulary does not use.
  virtual int64_t size() const = 0;

  // Returns the number of ids that the vocabulary lists, at least size(): a
  // list may end with ids that it calls unused. No text becomes such an id, and
  // the model never generates one; it only makes the vocabulary as large as the
  // model's.
  virtual int64_t num_listed_ids() const { return size(); }

  // Returns the token that ends a document, if there is one.
  virtual std::optional<TokenId> end_of_text() const = 0;

  // Returns "world", "bpe", "bytes" or "none".
  virtual absl::string_view kind() const = 0;

  // Returns the concatenated bytes of `ids`.
  std::string Decode(absl::Span<const TokenId> ids) const;

 private:
  // Encodes `bytes`, and stops once there are more than `max_tokens` tokens,
  // with one more than that.
  virtual absl::StatusOr<std::vector<TokenId>> EncodeUpTo(
      absl::string_view bytes, size_t max_tokens) const = 0;
  // An upper bound of the memory that EncodeUpTo allocates in addition to the
  // tokens, in bytes.
  virtual int64_t MaxWorkMemory(absl::string_view bytes) const = 0;
};

// Returns InvalidArgument: the model has no tokenizer, so that it takes and
// returns token ids only.
absl::Status NoBytesError();

// Returns InvalidArgument that lists the bytes for which is_token returns
// false, if there are any: some text could not be encoded. `name` is that of
// the vocabulary in messages.
absl::Status CheckEveryByteIsAToken(
    absl::string_view name,
    absl::FunctionRef<bool(absl::string_view byte)> is_token);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_H_
