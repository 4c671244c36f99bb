// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_H_
#define RWKVD_CORE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// Index of a row of the embedding; never negative once checked.
using TokenId = int32_t;

// Turns bytes into the token ids a model was trained on, and back.
//
// Owned by the process's loaded model. Thread-safe (immutable).
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Any bytes, valid UTF-8 or not. Decode(Encode(x)) == x, except that a
  // tokenizer with a Unicode normalization gives back the normalized form, and
  // one that finds the end of text in a text leaves it out. InvalidArgument,
  // saying which and where, for a byte that has no token: some vocabularies
  // lack those that occur nowhere in UTF-8 (C0, C1, F5 to FF).
  virtual absl::StatusOr<std::vector<TokenId>> Encode(
      absl::string_view bytes) const = 0;

  // What `id` stands for: any bytes, not necessarily UTF-8 on its own. Empty
  // for the end of text and for ids that stand for nothing, such as those in
  // [0, size()) that the vocabulary leaves out and any outside that range.
  virtual absl::string_view TokenBytes(TokenId id) const = 0;

  // One more than the largest id. A model's vocabulary may be larger (rows
  // that were never trained); ids from here on are never sampled.
  virtual int64_t size() const = 0;

  // The token that ends a document, if there is one.
  virtual std::optional<TokenId> end_of_text() const = 0;

  // "world", "bpe" or "bytes".
  virtual absl::string_view kind() const = 0;

  std::string Decode(absl::Span<const TokenId> ids) const;
};

// InvalidArgument, naming those of the 256 bytes that are no token of the
// vocabulary `name`: without them some text could not be encoded.
absl::Status CheckEveryByteIsAToken(
    absl::string_view name,
    absl::FunctionRef<bool(absl::string_view byte)> is_token);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_H_
