// SPDX-License-Identifier: Apache-2.0
#include "core/engine/vocabulary.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

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
  std::vector<int32_t> unused;
  for (int32_t id = 0; id < vocabulary.num_ids; ++id) {
    const absl::string_view bytes = tokenizer.TokenBytes(id);
    if (bytes.empty()) {
      if (id != vocabulary.end_of_text) unused.push_back(id);
    } else if (absl::StrContains(kBlanksAndDigits, bytes)) {
      vocabulary.blanks_and_digits.push_back(id);
    }
  }
  // Of a model without a tokenizer, no token has bytes.
  if (tokenizer.has_bytes() && !unused.empty()) {
    vocabulary.unused_ids =
        std::make_shared<const std::vector<int32_t>>(std::move(unused));
  }
  return vocabulary;
}

}  // namespace rwkvd
