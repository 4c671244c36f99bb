// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/input.h"

#include <iostream>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/quote.h"

namespace rwkvd {

std::string ReadArgument(const std::string& argument) {
  if (argument != "-") return argument;
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

absl::StatusOr<std::vector<int32_t>> ParseIds(absl::string_view text) {
  std::vector<int32_t> ids;
  for (absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(", \t\n"), absl::SkipEmpty())) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(word, &id)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(word), " is not a token id"));
    }
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<std::vector<std::string>> ParseStrings(absl::string_view text) {
  std::vector<std::string> strings;
  for (absl::string_view word : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    std::string plain;
    if (!absl::CUnescape(word, &plain)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(word), " contains an invalid escape sequence"));
    }
    strings.push_back(std::move(plain));
  }
  return strings;
}

}  // namespace rwkvd
