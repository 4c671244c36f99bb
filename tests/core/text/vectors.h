// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_TEXT_VECTORS_H_
#define RWKVD_TESTS_CORE_TEXT_VECTORS_H_

#include <string>
#include <vector>

#include "core/text/tokenizer.h"

namespace rwkvd {

// Skips the test, with a message, if the fixtures are not available.
#define RWKVD_SKIP_WITHOUT_FIXTURES()                                       \
  if (TokenizerFixtures().empty()) {                                        \
    GTEST_SKIP() << "RWKVD_FIXTURES is not set: it names the directory of " \
                    "reference vocabularies and vectors";                   \
  }                                                                         \
  static_assert(true)

// Skips the test, with a message, if the fixtures of further formats are not
// available.
#define RWKVD_SKIP_WITHOUT_FORMAT_FIXTURES()                        \
  if (FormatFixtures().empty()) {                                   \
    GTEST_SKIP() << "RWKVD_FORMAT_FIXTURES is not set: it names a " \
                    "directory of files in further formats";        \
  }                                                                 \
  static_assert(true)

// Returns the directory of the fixtures of further formats, or "" if there is
// none.
std::string FormatFixtures();

// Returns the directory of the tokenizers' fixtures, or "" if there is none.
std::string TokenizerFixtures();

// A text and its ids as the original tokenizer encodes it.
struct TokenizerVector {
  std::string bytes;
  std::vector<TokenId> ids;
};

// Reads the lines {"text": ..., "ids": [...]} or {"bytes_hex": ..., "ids":
// [...]} of a file.
std::vector<TokenizerVector> ReadVectors(const std::string& path);

std::string ReadWholeFile(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_TEXT_VECTORS_H_
