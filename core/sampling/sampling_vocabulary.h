// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SAMPLING_VOCABULARY_H_
#define RWKVD_CORE_SAMPLING_SAMPLING_VOCABULARY_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace rwkvd {

// What sampling has to know of the tokens. A value.
struct SamplingVocabulary {
  // Ids from here on are never drawn: the model's vocabulary may be larger than
  // the tokenizer's.
  int64_t num_ids = 0;
  // The token that ends a document, if there is one.
  std::optional<int32_t> end_of_text;
  // The tokens of blanks or digits, ascending:
  // SamplingParams::exempt_blanks_and_digits.
  std::vector<int32_t> blanks_and_digits;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SAMPLING_VOCABULARY_H_
