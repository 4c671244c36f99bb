// SPDX-License-Identifier: Apache-2.0
#include "core/engine/vocabulary.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kBlanksAndDigits = " \t0123456789";

}  // namespace

SamplingVocabulary VocabularyOf(const Tokenizer& tokenizer,
                                int64_t vocab_size) {
  SamplingVocabulary vocabulary;
  vocabulary.num_ids = std::min(tokenizer.size(), vocab_size);
  vocabulary.end_of_text = tokenizer.end_of_text();
  for (int64_t id = 0; id < vocabulary.num_ids; ++id) {
    const absl::string_view bytes =
        tokenizer.TokenBytes(static_cast<int32_t>(id));
    if (!bytes.empty() && absl::StrContains(kBlanksAndDigits, bytes)) {
      vocabulary.blanks_and_digits.push_back(static_cast<int32_t>(id));
    }
  }
  return vocabulary;
}

}  // namespace rwkvd
