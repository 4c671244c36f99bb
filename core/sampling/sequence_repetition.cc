// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sequence_repetition.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace rwkvd {
namespace {

// The match lengths of one position i of the text with every earlier position
// j: how many tokens that end at i match tokens that end at j with at most t
// wildcards. Shape [tolerance + 1][n], indices t and j.
using Lengths = std::vector<int32_t>;

// Computes the match lengths of a text, position by position.
//
// Lives for one FindRepeatedSequences; thread-compatible.
class Comparison {
 public:
  Comparison(absl::Span<const int32_t> tokens, const SequenceRepetition& params)
      : tokens_(tokens),
        num_levels_(params.tolerance + 1),
        max_merge_(params.max_merge) {}

  // Sets `lengths` to those of position i. `before` has those of i - 1; it is
  // not read if i is 0.
  void Extend(size_t i, const Lengths& before, Lengths* lengths) const {
    for (size_t level = 0; level < num_levels_; ++level) {
      for (size_t j = 0; j < i; ++j) {
        (*lengths)[level * tokens_.size() + j] =
            tokens_[i] == tokens_[j]
                ? 1 + (j == 0 ? 0 : At(before, level, j - 1))
                : WithWildcard(j, level, before);
      }
    }
  }

  // Returns the length for `level` wildcards and position j.
  int32_t At(const Lengths& lengths, size_t level, size_t j) const {
    return lengths[level * tokens_.size() + j];
  }

 private:
  int32_t WithWildcard(size_t j, size_t level, const Lengths& before) const {
    if (level == 0) return 0;
    int32_t longest = 0;
    for (size_t merged = 1; merged <= std::min(max_merge_, j); ++merged) {
      longest = std::max(longest, At(before, level - 1, j - merged));
    }
    return longest == 0 ? 0 : longest + 1;
  }

  const absl::Span<const int32_t> tokens_;
  const size_t num_levels_;
  const size_t max_merge_;
};

void Add(int32_t next, int32_t length, std::vector<RepeatedSequence>* found) {
  for (RepeatedSequence& sequence : *found) {
    if (sequence.next != next) continue;
    sequence.length = std::max(sequence.length, length);
    return;
  }
  found->push_back({next, length});
}

}  // namespace

void FindRepeatedSequences(absl::Span<const int32_t> tokens,
                           const SequenceRepetition& params,
                           std::vector<RepeatedSequence>* found) {
  found->clear();
  const size_t n = tokens.size();
  if (n <= static_cast<size_t>(params.min_length)) return;
  thread_local Lengths lengths, before;
  lengths.resize((params.tolerance + 1) * n);
  before.resize(lengths.size());
  const Comparison comparison(tokens, params);
  for (size_t i = 0; i < n; ++i) {
    std::swap(lengths, before);
    comparison.Extend(i, before, &lengths);
  }
  for (size_t j = 0; j + 1 < n; ++j) {
    if (tokens[j] != tokens[n - 1]) continue;
    const int32_t length = comparison.At(lengths, params.tolerance, j);
    if (length >= params.min_length) Add(tokens[j + 1], length + 1, found);
  }
}

void PenalizeSequences(absl::Span<const RepeatedSequence> sequences,
                       const SequenceRepetition& params,
                       absl::Span<float> logits) {
  for (const RepeatedSequence& sequence : sequences) {
    if (static_cast<size_t>(sequence.next) >= logits.size()) continue;
    logits[sequence.next] -=
        params.flat_penalty +
        static_cast<float>(sequence.length) * params.stacking_penalty;
  }
}

}  // namespace rwkvd
