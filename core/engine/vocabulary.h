// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_VOCABULARY_H_
#define RWKVD_CORE_ENGINE_VOCABULARY_H_

#include <cstdint>

#include "core/sampling/params.h"
#include "core/text/tokenizer.h"

namespace rwkvd {

// What sampling must know about the tokens of a model with `vocab_size` tokens.
// An id that stands for no bytes and does not end a text is unused.
// Tokens of blanks or digits are those whose bytes are part of
// " \t0123456789", as in the programs of the RWKV project.
SamplingVocabulary VocabularyOf(const Tokenizer& tokenizer, int64_t vocab_size);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_VOCABULARY_H_
