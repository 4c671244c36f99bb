// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_TEXT_VECTORS_H_
#define RWKVD_TESTS_CORE_TEXT_VECTORS_H_

#include <string>
#include <vector>

#include "core/text/tokenizer.h"

namespace rwkvd {

// Leaves the test, saying why, where the fixtures are not at hand.
#define RWKVD_SKIP_WITHOUT_FIXTURES()                                       \
  if (TokenizerFixtures().empty()) {                                        \
    GTEST_SKIP() << "RWKVD_FIXTURES is not set: it names the directory of " \
                    "reference vocabularies and vectors";                   \
  }                                                                         \
  static_assert(true)

// The directory of the tokenizers' fixtures, or "".
std::string TokenizerFixtures();

// A text and its ids according to the tokenizer's authors.
struct TokenizerVector {
  std::string bytes;
  std::vector<TokenId> ids;
};

// Of a file of lines {"text": ..., "ids": [...]} or {"bytes_hex": ...}.
std::vector<TokenizerVector> ReadVectors(const std::string& path);

std::string ReadWholeFile(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_TEXT_VECTORS_H_
