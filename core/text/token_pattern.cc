// SPDX-License-Identifier: Apache-2.0
#include "core/text/token_pattern.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/text/byte_alphabet.h"

namespace rwkvd {
namespace {

// Sorted tokens.
using Tokens = absl::Span<const absl::string_view>;

// Writes the trie of sorted, different tokens. Immutable.
class PatternWriter {
 public:
  PatternWriter() {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string character =
          AlphabetCharacter(static_cast<uint8_t>(byte));
      const bool is_operator =
          character.size() == 1 &&
          absl::string_view("\\^$.|?*+()[]{}-&").find(character) !=
              std::string::npos;
      alphabet_[byte] = absl::StrCat(is_operator ? "\\" : "", character);
    }
  }

  // What follows the first `depth` bytes of `tokens`, which have these in
  // common.
  std::string Rest(Tokens tokens, size_t depth) const {
    const bool may_end = tokens.front().size() == depth;
    if (may_end) tokens.remove_prefix(1);
    if (tokens.empty()) return "";
    std::string pattern;
    std::string leaves;  // characters after which nothing follows
    int64_t num_leaves = 0, num_alternatives = 0;
    while (!tokens.empty()) {
      const Tokens branch = TakeBranch(&tokens, depth);
      const std::string& character =
          alphabet_[static_cast<uint8_t>(branch.front()[depth])];
      if (branch.size() == 1 && branch.front().size() == depth + 1) {
        leaves += character;
        ++num_leaves;
        continue;
      }
      absl::StrAppend(&pattern, num_alternatives++ > 0 ? "|" : "", character,
                      Rest(branch, depth + 1));
    }
    const bool is_atom = num_alternatives == 0;
    if (num_leaves > 1) leaves = absl::StrCat("[", leaves, "]");
    if (num_leaves > 0) {
      absl::StrAppend(&pattern, num_alternatives++ > 0 ? "|" : "", leaves);
    }
    if (num_alternatives > 1 || (may_end && !is_atom)) {
      pattern = absl::StrCat("(?:", pattern, ")");
    }
    return absl::StrCat(pattern, may_end ? "?" : "");
  }

 private:
  // Removes and returns the first tokens, which have the next byte in common.
  static Tokens TakeBranch(Tokens* tokens, size_t depth) {
    const char byte = tokens->front()[depth];
    const auto end = std::find_if(
        tokens->begin(), tokens->end(),
        [&](absl::string_view token) { return token[depth] != byte; });
    const Tokens branch =
        tokens->first(static_cast<size_t>(end - tokens->begin()));
    tokens->remove_prefix(branch.size());
    return branch;
  }

  std::array<std::string, 256> alphabet_;
};

}  // namespace

std::string LongestTokenPattern(std::vector<absl::string_view> tokens) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  if (tokens.empty()) return "";
  return PatternWriter().Rest(tokens, 0);
}

}  // namespace rwkvd
