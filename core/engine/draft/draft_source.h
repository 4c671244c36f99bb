// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_DRAFT_DRAFT_SOURCE_H_
#define RWKVD_CORE_ENGINE_DRAFT_DRAFT_SOURCE_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/check.h"

namespace rwkvd {

// The kinds of draft sources, in the order in which they are asked.
enum class DraftKind {
  kForcedText,    // what the request forces
  kPromptLookup,  // what followed the same tokens before
};

inline constexpr int kNumDraftKinds = 2;

// The value of metric labels, such as "prompt_lookup".
inline absl::string_view NameOf(DraftKind kind) {
  switch (kind) {
    case DraftKind::kForcedText:
      return "forced_text";
    case DraftKind::kPromptLookup:
      return "prompt_lookup";
  }
  RWKVD_CHECK(false);
}

// What is known about a guess. A value.
struct DraftGuess {
  // Guesses of one source with the same grade are about equally often right. In
  // [0, kNumGrades).
  int grade = 0;
  // The probability that the next token of such a guess is right, as long as
  // nothing has been learned from others. In [0, 1].
  double prior = 0;

  static constexpr int kNumGrades = 4;
};

// Guesses which tokens a sequence is going to generate.
//
// Owned by one sequence. Engine thread only.
class DraftSource {
 public:
  virtual ~DraftSource() = default;

  virtual DraftKind kind() const = 0;

  // Appends at most `max` tokens to `draft`, which is empty: a guess of what
  // follows `tokens`, all of the prompt and of the output so far. Each call has
  // the tokens of the last one, and maybe more. Takes bounded time for each new
  // token.
  virtual DraftGuess Guess(absl::Span<const int32_t> tokens, int64_t max,
                           std::vector<int32_t>* draft) = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_DRAFT_DRAFT_SOURCE_H_
