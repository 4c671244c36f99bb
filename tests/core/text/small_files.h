// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_TEXT_SMALL_FILES_H_
#define RWKVD_TESTS_CORE_TEXT_SMALL_FILES_H_

#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace rwkvd {

// A World vocabulary: byte b is token b + 1, then come `more`, from 257 on.
std::string SmallWorldVocabulary(const std::vector<std::string>& more = {});

// One of its lines, the literal written as b'...'.
std::string WorldLine(int id, const std::string& token);

// A tokenizer.json whose vocabulary is: byte b is token b, then come what
// `merges` make, from 256 on. The merges are given in bytes.
nlohmann::json SmallTokenizerJson(
    const std::vector<std::pair<std::string, std::string>>& merges = {});

// `bytes` in the alphabet of GPT-2.
std::string InAlphabet(const std::string& bytes);

// Appends an added token to a tokenizer.json.
void AddToken(nlohmann::json* document, const std::string& content, int id,
              bool normalized);

// Any bytes, from a repeatable generator.
template <typename Generator>
std::string RandomBytes(Generator& generator, size_t length) {
  std::string bytes(length, '\0');
  for (char& c : bytes) c = static_cast<char>(generator() >> 7);
  return bytes;
}

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_TEXT_SMALL_FILES_H_
