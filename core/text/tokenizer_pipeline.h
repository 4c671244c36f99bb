// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_
#define RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_

#include "absl/status/status.h"
#include "core/base/json.h"

namespace rwkvd {

// Whether the model of a tokenizer.json is of type WordPiece, not BPE.
bool IsWordPiece(const Json& document);

// Checks that the settings of a tokenizer.json (everything except vocabulary,
// merges and added tokens) are those that BpeTokenizer implements, or, if its
// model is of type WordPiece, those with which it encodes as WorldTokenizer
// does. Returns InvalidArgument that names the field whose value would change
// the result.
absl::Status CheckTokenizerPipeline(const Json& document);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_
