// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_
#define RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_

#include "absl/status/status.h"
#include "core/base/json.h"

namespace rwkvd {

// Whether the settings in a tokenizer.json are those that BpeTokenizer
// implements: all but its vocabulary, merges and added tokens. InvalidArgument
// names the field that would make a difference.
absl::Status CheckTokenizerPipeline(const Json& document);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_
