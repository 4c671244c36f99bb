// SPDX-License-Identifier: Apache-2.0
#include "tools/quality/documents.h"

#include <utility>

#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace rwkvd {

absl::StatusOr<std::vector<Document>> EncodeDocuments(
    absl::string_view text, absl::string_view separator, int64_t max_tokens,
    const Tokenizer& tokenizer) {
  std::vector<Document> documents;
  for (absl::string_view part : absl::StrSplit(text, separator)) {
    RWKVD_ASSIGN_OR_RETURN(const auto ids, tokenizer.Encode(part));
    Document document;
    const auto end_of_text = tokenizer.end_of_text();
    if (end_of_text.has_value()) document.tokens.push_back(*end_of_text);
    for (const auto id : ids) {
      if (static_cast<int64_t>(document.tokens.size()) >= max_tokens) break;
      if (!document.tokens.empty()) {
        document.num_bytes +=
            static_cast<int64_t>(tokenizer.TokenBytes(id).size());
      }
      document.tokens.push_back(id);
    }
    if (document.tokens.size() > 1) documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace rwkvd
