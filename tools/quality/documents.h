// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_QUALITY_DOCUMENTS_H_
#define RWKVD_TOOLS_QUALITY_DOCUMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/tokenizer.h"
#include "tools/quality/measurement.h"

namespace rwkvd {

// Splits `text` at each `separator` and encodes the documents, each to at most
// `max_tokens` tokens (at least 2). If the tokenizer has an end-of-text token,
// each document begins with it, as in training texts. Documents without a token
// to predict are skipped. InvalidArgument as Tokenizer::Encode.
absl::StatusOr<std::vector<Document>> EncodeDocuments(
    absl::string_view text, absl::string_view separator, int64_t max_tokens,
    const Tokenizer& tokenizer);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_QUALITY_DOCUMENTS_H_
