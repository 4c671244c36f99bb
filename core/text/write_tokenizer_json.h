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

// A tokenizer.json for a tokenizer that always takes the longest token. Every
// id below `vocab_size` has an entry. In one thing it differs from a World
// vocabulary without added tokens: the text "<|endoftext|>" is the end of text.
//
// It has the form of the official releases, a byte-level WordPiece model, with
// one addition. There, a word is a whole text, for which Hugging Face's
// tokenizers takes time that grows with the third power of its length: seconds
// for 8,000 characters. Here, a regular expression (token_pattern.h) first
// splits the text at the ends of tokens, in linear time, so that the words of
// the model are tokens.
//
// InvalidArgument for other tokenizers, that is, unless `kind` is "world" or
// "bytes", and if the vocabulary has a token that is spelled like the end of
// text.
absl::StatusOr<std::string> WriteTokenizerJson(const Tokenizer& tokenizer,
                                               int64_t vocab_size);

// An upper bound of the size of that file.
int64_t MaxTokenizerJsonBytes(const Tokenizer& tokenizer, int64_t vocab_size);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_WRITE_TOKENIZER_JSON_H_
