// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_WRITE_TOKENIZER_JSON_H_
#define RWKVD_CORE_TEXT_WRITE_TOKENIZER_JSON_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// The text of the special token that ends a document.
inline constexpr char kEndOfTextContent[] = "<|endoftext|>";

// The tokenizer.json of a tokenizer that always takes the longest token, in the
// form of the official releases: a byte-level WordPiece model whose words are
// whole texts. Every id below `vocab_size` has an entry. In one thing it
// differs from a World vocabulary without added tokens: the text
// "<|endoftext|>" is the end of text.
//
// InvalidArgument for other tokenizers, that is, unless `kind` is "world" or
// "bytes", and if the vocabulary has a token that is spelled like the end of
// text.
absl::StatusOr<std::string> WriteTokenizerJson(const Tokenizer& tokenizer,
                                               int64_t vocab_size);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_WRITE_TOKENIZER_JSON_H_
