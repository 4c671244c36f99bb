// SPDX-License-Identifier: Apache-2.0
#include "core/text/word_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/match.h"
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

// What the pattern distinguishes. The kinds of characters beyond ASCII are left
// to PCRE2.
enum class ByteKind : uint8_t { kSpace, kLetter, kNumber, kOther, kNotAscii };

constexpr ByteKind KindOf(int byte) {
  if (byte >= 0x80) return ByteKind::kNotAscii;
  if (byte == ' ' || (byte >= '\t' && byte <= '\r')) return ByteKind::kSpace;
  if (byte >= '0' && byte <= '9') return ByteKind::kNumber;
  const int lower = byte | 0x20;
  return lower >= 'a' && lower <= 'z' ? ByteKind::kLetter : ByteKind::kOther;
}

constexpr std::array<ByteKind, 256> MakeKinds() {
  std::array<ByteKind, 256> kinds{};
  for (int byte = 0; byte < 256; ++byte) kinds[byte] = KindOf(byte);
  return kinds;
}

constexpr std::array<ByteKind, 256> kKinds = MakeKinds();

constexpr absl::string_view kContractions[] = {"'s", "'t",  "'re", "'ve",
                                               "'m", "'ll", "'d"};

ByteKind KindAt(absl::string_view text, size_t i) {
  return kKinds[static_cast<uint8_t>(text[i])];
}

// The end of the run of characters of one kind from `begin` on; 0 if a
// character beyond ASCII follows, which may continue the run.
size_t RunEnd(absl::string_view text, size_t begin) {
  const ByteKind kind = KindAt(text, begin);
  size_t end = begin + 1;
  while (end < text.size() && KindAt(text, end) == kind) ++end;
  const bool is_known =
      end == text.size() || KindAt(text, end) != ByteKind::kNotAscii;
  return is_known ? end : 0;
}

// The length of the contraction at the beginning of `text`; 0 if there is none.
size_t ContractionLength(absl::string_view text) {
  for (const absl::string_view contraction : kContractions) {
    if (absl::StartsWith(text, contraction)) return contraction.size();
  }
  return 0;
}

// The end of the word that starts at `start`, as the pattern finds it; 0 if it
// depends on a character beyond ASCII. Many times as fast as PCRE2, which needs
// longer to begin than to match a short word.
size_t AsciiWordEnd(absl::string_view text, size_t start) {
  if (text[start] == '\'') {
    const size_t length = ContractionLength(text.substr(start));
    if (length > 0) return start + length;
  }
  const bool begins_with_space = text[start] == ' ' && start + 1 < text.size();
  const size_t begin = begins_with_space ? start + 1 : start;
  if (KindAt(text, begin) == ByteKind::kNotAscii) return 0;
  if (KindAt(text, begin) != ByteKind::kSpace) return RunEnd(text, begin);
  const size_t end = RunEnd(text, start);
  // The last of several spaces before other text belongs to the next word.
  return end > start + 1 && end < text.size() ? end - 1 : end;
}

}  // namespace

struct WordSplitter::Pattern {
  pcre2_code* code = nullptr;
  pcre2_match_context* limits = nullptr;

  Pattern() {
    int error = 0;
    size_t error_offset = 0;
    code = pcre2_compile(
        reinterpret_cast<PCRE2_SPTR>(kPattern), PCRE2_ZERO_TERMINATED,
        PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &error_offset, nullptr);
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
    const size_t ascii_end = AsciiWordEnd(text, start);
    if (ascii_end > 0) return ascii_end;
    // Validating the UTF-8 again for each word would take quadratic time.
    const int result =
        pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()),
                    text.size(), start, PCRE2_NO_UTF_CHECK, match, limits);
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
