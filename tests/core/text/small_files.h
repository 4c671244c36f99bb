// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_TEXT_SMALL_FILES_H_
#define RWKVD_TESTS_CORE_TEXT_SMALL_FILES_H_

#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace rwkvd {

// Returns a World vocabulary: byte b is token b + 1, and `more` are the tokens
// from 257 on.
std::string SmallWorldVocabulary(const std::vector<std::string>& more = {});

// Returns a line of a World vocabulary, with the literal written as b'...'.
std::string WorldLine(int id, const std::string& token);

// Returns a tokenizer.json in which byte b is token b, and the results of
// `merges`, which are given in bytes, are the tokens from 256 on.
nlohmann::json SmallTokenizerJson(
    const std::vector<std::pair<std::string, std::string>>& merges = {});

// Returns a tokenizer.json with a WordPiece model, as in the official releases:
// token 0 is the added token "<|endoftext|>", byte b is token b + 1, and `more`
// are the tokens from 257 on, in bytes.
nlohmann::json SmallWordPieceJson(const std::vector<std::string>& more = {});

// Returns `bytes` in GPT-2's byte alphabet.
std::string InAlphabet(const std::string& bytes);

// Appends an added token to a tokenizer.json.
void AddToken(nlohmann::json* document, const std::string& content, int id,
              bool normalized);

// Returns random bytes from a seeded generator.
template <typename Generator>
std::string RandomBytes(Generator& generator, size_t length) {
  std::string bytes(length, '\0');
  for (char& c : bytes) c = static_cast<char>(generator() >> 7);
  return bytes;
}

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_TEXT_SMALL_FILES_H_
