// SPDX-License-Identifier: Apache-2.0
#include "core/text/word_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// Unicode's White_Space, the meaning of \s in the tokenizers library. PCRE2's
// own \s also includes U+180E.
#define RWKVD_SPACE                                \
  "\\x{09}-\\x{0D}\\x{20}\\x{85}\\x{A0}\\x{1680}"  \
  "\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}" \
  "\\x{205F}\\x{3000}"

constexpr char kPattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d"
    "| ?\\p{L}+"
    "| ?\\p{N}+"
    "| ?[^" RWKVD_SPACE
    "\\p{L}\\p{N}]+"
    "|[" RWKVD_SPACE "]+(?![^" RWKVD_SPACE
    "])"
    "|[" RWKVD_SPACE "]+";

// The pattern hardly backtracks, so that any text stays far below the limits.
constexpr uint32_t kMatchLimit = 1 << 20;
constexpr uint32_t kHeapLimitKib = 16 << 10;

}  // namespace

struct WordSplitter::Pattern {
  pcre2_code* code = nullptr;
  pcre2_match_context* limits = nullptr;

  Pattern() {
    int error = 0;
    size_t error_offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern),
                         PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                         &error_offset, nullptr);
    RWKVD_CHECK(code != nullptr);
    // This fails where memory must not be executable; matching is then slower.
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    limits = pcre2_match_context_create(nullptr);
    RWKVD_CHECK(limits != nullptr);
    pcre2_set_match_limit(limits, kMatchLimit);
    pcre2_set_heap_limit(limits, kHeapLimitKib);
  }
  ~Pattern() {
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  // Returns the end of the word that starts at `start`. At every position, one
  // of the alternatives matches. If PCRE2 fails nevertheless, the rest of the
  // text is one word: its tokens differ, but still stand for the same bytes.
  size_t WordEnd(absl::string_view text, size_t start,
                 pcre2_match_data* match) const {
    // Validating the UTF-8 again for each word would take quadratic time.
    const int result = pcre2_match(
        code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
        PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, match, limits);
    if (result < 0) return text.size();
    const size_t end = pcre2_get_ovector_pointer(match)[1];
    return end > start ? end : text.size();
  }
};

WordSplitter::WordSplitter() : pattern_(std::make_unique<const Pattern>()) {}
WordSplitter::~WordSplitter() = default;

bool WordSplitter::Split(
    absl::string_view text,
    absl::FunctionRef<bool(absl::string_view)> on_word) const {
  if (text.empty()) return true;
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  RWKVD_CHECK(match != nullptr);
  for (size_t start = 0; start < text.size();) {
    const size_t end = pattern_->WordEnd(text, start, match.get());
    if (!on_word(text.substr(start, end - start))) return false;
    start = end;
  }
  return true;
}

}  // namespace rwkvd
