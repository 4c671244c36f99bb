// SPDX-License-Identifier: Apache-2.0
// Measures the processor time that a tokenizer takes for 15 MB of different
// texts, and for those texts with a limit of 2^20 tokens. A text that takes
// much longer than others would let its sender keep a thread busy.
//
// Run with: bazel run -c opt //tests/bench:tokenizer_bench -- TOKENIZER_FILE

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/text/load_tokenizer.h"
#include "core/text/tokenizer.h"

namespace rwkvd::bench {
namespace {

constexpr size_t kTextBytes = 15 << 20;
constexpr int64_t kMaxTokens = 1 << 20;

// Random pieces of `pieces`, until the text has kTextBytes.
std::string RandomText(const std::vector<std::string>& pieces) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < kTextBytes) text += pieces[random() % pieces.size()];
  text.resize(kTextBytes);
  return text;
}

std::vector<std::string> Letters(char first, char last) {
  std::vector<std::string> letters;
  for (char c = first; c <= last; ++c) letters.emplace_back(1, c);
  return letters;
}

std::vector<std::string> Bytes() {
  std::vector<std::string> bytes;
  for (int i = 1; i < 256; ++i) bytes.emplace_back(1, static_cast<char>(i));
  return bytes;
}

std::vector<std::pair<const char*, std::string>> Texts() {
  return {
      {"one letter", std::string(kTextBytes, 'e')},
      {"one space", std::string(kTextBytes, ' ')},
      {"one digit", std::string(kTextBytes, '0')},
      {"one dash", std::string(kTextBytes, '-')},
      {"random lower-case letters", RandomText(Letters('a', 'z'))},
      {"random letters a to d", RandomText(Letters('a', 'd'))},
      {"random printable ASCII", RandomText(Letters('!', '~'))},
      {"random bytes", RandomText(Bytes())},
      {"letters and spaces", RandomText({"a", " ", "b ", "  "})},
      {"words", RandomText({"the ", "of ", "language ", "model ", "is, ",
                            "however, ", "not\n", "tokens "})},
      {"Han", RandomText({"\u4e2d", "\u6587", "\u5b57", "\u7684"})},
      {"combining marks", RandomText({"e\u0301", "o\u0323\u0302", "a"})},
      {"marks only", RandomText({"\u0301", "\u0323", "\u0302"})},
      {"Hangul jamo", RandomText({"\u1112\u1161\u11ab"})},
      {"apostrophes", RandomText({"'s", "'", "'ll", "'re "})},
      {"white space", RandomText({" ", "\n", "\t", "\u3000", "\u2003"})},
      {"accents and numbers", RandomText({"\u00e9", "\u00bd", "\u00a1"})},
      {"ASCII and accents", RandomText({"a", "1", "!", "\u00e9"})},
  };
}

// The processor time of this thread, which other processes hardly change.
double CpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) +
         1e-9 * static_cast<double>(time.tv_nsec);
}

double Seconds(const Tokenizer& tokenizer, const std::string& text,
               int64_t max_tokens, size_t* num_tokens) {
  const double begin = CpuSeconds();
  const auto ids = tokenizer.Encode(text, max_tokens);
  *num_tokens = ids.ok() ? ids->size() : 0;
  return CpuSeconds() - begin;
}

int Run(const char* path) {
  const auto tokenizer = LoadTokenizer(path);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
    return 1;
  }
  for (const auto& [name, text] : Texts()) {
    size_t num_tokens = 0;
    size_t unused = 0;
    const double whole =
        Seconds(**tokenizer, text, Tokenizer::kNoTokenLimit, &num_tokens);
    const double limited = Seconds(**tokenizer, text, kMaxTokens, &unused);
    std::printf("%-26s %9zu tokens  %6.3f s  limited %6.3f s\n", name,
                num_tokens, whole, limited);
  }
  return 0;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenizer_bench TOKENIZER_FILE\n");
    return 2;
  }
  return rwkvd::bench::Run(argv[1]);
}
