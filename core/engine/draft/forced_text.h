// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_DRAFT_FORCED_TEXT_H_
#define RWKVD_CORE_ENGINE_DRAFT_FORCED_TEXT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/draft/draft_source.h"

namespace rwkvd {

// Knows the tokens with which the output must begin
// (SamplingParams::forced_tokens). Threads: see DraftSource.
class ForcedText : public DraftSource {
 public:
  // The output begins after `prompt_size` tokens. `forced` outlives the source.
  ForcedText(absl::Span<const int32_t> forced, size_t prompt_size)
      : forced_(forced), prompt_size_(prompt_size) {}

  DraftKind kind() const override { return DraftKind::kForcedText; }

  DraftGuess Guess(absl::Span<const int32_t> tokens, int64_t max,
                   std::vector<int32_t>* draft) override {
    const size_t begin = tokens.size() - prompt_size_;
    const size_t end = std::min(forced_.size(), begin + max);
    if (begin < end) {
      draft->insert(draft->end(), forced_.begin() + begin,
                    forced_.begin() + end);
    }
    return {.grade = 0, .prior = 1};
  }

 private:
  const absl::Span<const int32_t> forced_;
  const size_t prompt_size_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_DRAFT_FORCED_TEXT_H_
