// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_
#define RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_

#include "absl/status/status.h"
#include "core/base/json.h"

namespace rwkvd {

// Checks that the settings of a tokenizer.json (everything except vocabulary,
// merges and added tokens) are those that BpeTokenizer implements. Returns
// InvalidArgument that names the field whose value would change the result.
absl::Status CheckTokenizerPipeline(const Json& document);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKENIZER_PIPELINE_H_
