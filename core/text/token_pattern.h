// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TOKEN_PATTERN_H_
#define RWKVD_CORE_TEXT_TOKEN_PATTERN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// A regular expression that matches, at a position of a text, the longest of
// `tokens` there, in time that depends on the length of the match only. Text
// and pattern are in the byte alphabet (byte_alphabet.h). The pattern is the
// trie of the tokens: "(?:ab?|c)" for
// a, ab and c. It needs a backtracking
// engine that prefers the first alternative, such as Oniguruma.
//
// The tokens are not empty. Equal ones count once. Groups are nested as deep as
// the longest token has bytes.
std::string LongestTokenPattern(std::vector<absl::string_view> tokens);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TOKEN_PATTERN_H_
