// SPDX-License-Identifier: Apache-2.0
#include "core/text/world_vocabulary.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/failed_download.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/text/python_literal.h"
#include "core/text/tokenizer.h"
#include "core/text/world_tokenizer.h"

namespace rwkvd {
namespace {

// U+FEFF, which some editors write before the first line.
constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Parses plain decimal digits; SimpleAtoi alone would allow signs and spaces.
bool ParseNumber(absl::string_view digits, int64_t* number) {
  return !digits.empty() &&
         std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(digits, number);
}

// Collects the lines of one file.
//
// Lives for one Parse; thread-compatible.
class Vocabulary {
 public:
  absl::Status AddLine(absl::string_view line) {
    ++num_lines_;
    absl::ConsumeSuffix(&line, "\r");
    const size_t first_space = line.find(' ');
    const size_t last_space = line.rfind(' ');
    if (first_space == last_space) {  // no space, or only one
      return absl::InvalidArgumentError(
          absl::StrCat("expected `ID LITERAL BYTES`, got ", Quoted(line)));
    }
    RWKVD_ASSIGN_OR_RETURN(const TokenId id,
                           ParseId(line.substr(0, first_space)));
    RWKVD_ASSIGN_OR_RETURN(
        std::string token,
        ParseToken(line.substr(first_space + 1, last_space - first_space - 1),
                   line.substr(last_space + 1)));
    return Insert(id, std::move(token));
  }

  int64_t num_lines() const { return num_lines_; }
  std::vector<std::string> TakeTokens() { return std::move(tokens_); }

 private:
  absl::StatusOr<TokenId> ParseId(absl::string_view field) {
    int64_t id = 0;
    if (!ParseNumber(field, &id) || id < 1 ||
        id >= WorldTokenizer::kMaxTokens) {
      return absl::InvalidArgumentError(absl::StrCat(
          "expected an id from 1 to ", WorldTokenizer::kMaxTokens - 1, ", got ",
          Quoted(field)));
    }
    return static_cast<TokenId>(id);
  }

  absl::StatusOr<std::string> ParseToken(absl::string_view literal,
                                         absl::string_view length_field) {
    absl::StatusOr<std::string> token = ParsePythonLiteral(literal);
    if (!token.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "literal ", Quoted(literal), ": ", token.status().message()));
    }
    if (token->size() > WorldTokenizer::kMaxTokenBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "expected a token of at most ", WorldTokenizer::kMaxTokenBytes,
          " bytes, got ", token->size()));
    }
    int64_t length = 0;
    if (!ParseNumber(length_field, &length) ||
        static_cast<size_t>(length) != token->size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("literal ", Quoted(literal), ": expected the length ",
                       token->size(), ", got ", Quoted(length_field)));
    }
    return token;
  }

  absl::Status Insert(TokenId id, std::string token) {
    if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(id + 1);
    if (!tokens_[id].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected each id once, got ", id, " again"));
    }
    if (token.empty()) return absl::OkStatus();  // the id is unused
    const auto [at, is_new] = id_of_.emplace(token, id);
    if (!is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected each token once, got the bytes of token ",
                       at->second, " again as token ", id));
    }
    tokens_[id] = std::move(token);
    return absl::OkStatus();
  }

  int64_t num_lines_ = 0;
  std::vector<std::string> tokens_;
  absl::flat_hash_map<std::string, TokenId> id_of_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseWorldVocabulary(
    absl::string_view text, absl::string_view name) {
  if (text.size() > WorldTokenizer::kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": expected a vocabulary of at most ",
        WorldTokenizer::kMaxFileBytes, " bytes, got ", text.size()));
  }
  const absl::string_view failed_download = DescribeFailedDownload(text);
  if (!failed_download.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": expected a vocabulary, got ", failed_download));
  }
  absl::ConsumePrefix(&text, kByteOrderMark);
  Vocabulary vocabulary;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const absl::Status status = vocabulary.AddLine(text.substr(0, end));
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": line ", vocabulary.num_lines(), ": ", status.message()));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return vocabulary.TakeTokens();
}

}  // namespace rwkvd
