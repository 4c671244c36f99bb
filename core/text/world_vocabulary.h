// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_WORLD_VOCABULARY_H_
#define RWKVD_CORE_TEXT_WORLD_VOCABULARY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Parses the lines of a World vocabulary, which WorldTokenizer::Parse
// describes. Returns the bytes of each token, by id; empty: an unused id.
// Returns InvalidArgument, with `name` and the line, if the text is malformed.
absl::StatusOr<std::vector<std::string>> ParseWorldVocabulary(
    absl::string_view text, absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_WORLD_VOCABULARY_H_
