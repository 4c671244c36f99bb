// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_DRAFT_PROMPT_LOOKUP_H_
#define RWKVD_CORE_ENGINE_DRAFT_PROMPT_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/engine/draft/draft_source.h"

namespace rwkvd {

// Guesses that the last tokens are followed by what followed the same tokens
// before, in the prompt or in the output: answers often quote, and edited text
// is mostly a copy.
//
// Two tables, of the last two and of the last five tokens, have the position
// after each of them, the latest one where there are several. A match that goes
// on is followed without the tables. The grade of a guess is by the number of
// tokens that match.
//
// The time for a token is constant, and the memory is at most kMaxBytes: of a
// longer text, the tables lose earlier positions. Threads: see DraftSource.
class PromptLookup : public DraftSource {
 public:
  static constexpr int64_t kMaxEntries = 1 << 14;  // of a table
  static constexpr int64_t kMaxBytes = 2 * kMaxEntries * sizeof(uint32_t);

  // `max_tokens` is the number of tokens that prompt and output will have at
  // most. Allocates the tables with the first guess.
  explicit PromptLookup(int64_t max_tokens) : max_tokens_(max_tokens) {}

  DraftKind kind() const override { return DraftKind::kPromptLookup; }

  DraftGuess Guess(absl::Span<const int32_t> tokens, int64_t max,
                   std::vector<int32_t>* draft) override;

 private:
  static constexpr size_t kLong = 5;
  static constexpr size_t kShort = 2;
  // Longer matches are counted as this long.
  static constexpr size_t kMaxMatch = 16;

  // Follows the match through tokens that are new since the last call, and adds
  // the positions before the last token to the tables.
  void Advance(absl::Span<const int32_t> tokens);
  // The slot in `table` of the `length` tokens before `end`.
  static uint32_t& Slot(std::vector<uint32_t>& table,
                        absl::Span<const int32_t> tokens, size_t end,
                        size_t length);
  // Sets match_ if `table` knows a position after the last `length` tokens.
  bool Find(std::vector<uint32_t>& table, absl::Span<const int32_t> tokens,
            size_t length);

  const int64_t max_tokens_;
  std::vector<uint32_t> long_, short_;  // positions by hash; 0: none
  size_t next_ = 0;                     // the first position not in the tables
  size_t seen_ = 0;                     // the tokens of the last call
  // The position that follows the tokens that match the last ones, and how many
  // do; 0: none.
  size_t match_ = 0;
  size_t length_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_DRAFT_PROMPT_LOOKUP_H_
