// SPDX-License-Identifier: Apache-2.0
#include "core/text/write_tokenizer_json.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "core/base/error.h"
#include "core/text/byte_alphabet.h"
#include "core/text/token_pattern.h"

namespace rwkvd {
namespace {

// What follows the id of the end of text.
constexpr char kAddedToken[] =
    R"(,"content":"<|endoftext|>","single_word":false,"lstrip":false,)"
    R"("rstrip":false,"normalized":false,"special":true})";

// The pattern comes between these two.
constexpr char kSplitAtTokens[] =
    R"("normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,)"
    R"("use_regex":false},{"type":"Split","pattern":{"Regex":")";
constexpr char kModel[] =
    R"("},"behavior":"Isolated","invert":false}]},"post_processor":null,)"
    R"("decoder":{"type":"ByteLevel","add_prefix_space":true,)"
    R"("trim_offsets":true,"use_regex":true},"model":{"type":"WordPiece",)"
    R"("unk_token":"<|endoftext|>","continuing_subword_prefix":"",)"
    R"("max_input_chars_per_word":2147483647,"vocab":{)";

// The characters of the alphabet, escaped for JSON.
std::array<std::string, 256> EscapedAlphabet() {
  std::array<std::string, 256> alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_escaped = byte == '"' || byte == '\\';
    alphabet[byte] = absl::StrCat(
        is_escaped ? "\\" : "", AlphabetCharacter(static_cast<uint8_t>(byte)));
  }
  return alphabet;
}

// The key of an id that stands for no bytes.
std::string Placeholder(int64_t id) {
  return absl::StrCat("\xEE\x80\x80", id, "\xEE\x80\x81");
}

absl::Status CannotWrite(absl::string_view why) {
  return MakeError(ErrorReason::kNoTokenizer,
                   absl::StrCat("there is no tokenizer.json: ", why));
}

void AppendVocabulary(const Tokenizer& tokenizer, int64_t vocab_size,
                      std::string* json) {
  const std::array<std::string, 256> alphabet = EscapedAlphabet();
  for (int64_t id = 0; id < vocab_size; ++id) {
    const absl::string_view bytes =
        tokenizer.TokenBytes(static_cast<TokenId>(id));
    absl::StrAppend(json, id == 0 ? "\"" : ",\"");
    for (const char byte : bytes) *json += alphabet[static_cast<uint8_t>(byte)];
    if (id == tokenizer.end_of_text()) {
      *json += kEndOfTextContent;
    } else if (bytes.empty()) {
      *json += Placeholder(id);
    }
    absl::StrAppend(json, "\":", id);
  }
}

// The pattern that splits a text into tokens, escaped for JSON.
std::string EscapedPattern(const Tokenizer& tokenizer) {
  std::vector<absl::string_view> tokens;
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    const absl::string_view bytes = tokenizer.TokenBytes(id);
    if (!bytes.empty()) tokens.push_back(bytes);
  }
  return absl::StrReplaceAll(LongestTokenPattern(std::move(tokens)),
                             {{"\"", "\\\""}, {"\\", "\\\\"}});
}

bool HasToken(const Tokenizer& tokenizer, absl::string_view bytes) {
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    if (tokenizer.TokenBytes(id) == bytes) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> WriteTokenizerJson(const Tokenizer& tokenizer,
                                               int64_t vocab_size) {
  if (!tokenizer.has_bytes()) return CannotWrite("the model has no tokenizer");
  if (tokenizer.kind() != "world" && tokenizer.kind() != "bytes") {
    return CannotWrite(absl::StrCat("the model's tokenizer, ", tokenizer.kind(),
                                    ", has another form"));
  }
  const std::optional<TokenId> end = tokenizer.end_of_text();
  if (end.has_value() && HasToken(tokenizer, kEndOfTextContent)) {
    return CannotWrite("a token is spelled like the end of text");
  }
  std::string json = R"({"version":"1.0","truncation":null,"padding":null,)";
  absl::StrAppend(&json, "\"added_tokens\":[");
  if (end.has_value()) absl::StrAppend(&json, "{\"id\":", *end, kAddedToken);
  absl::StrAppend(&json, "],", kSplitAtTokens, EscapedPattern(tokenizer),
                  kModel);
  AppendVocabulary(tokenizer, vocab_size, &json);
  json += "}}}";
  return json;
}

int64_t MaxTokenizerJsonBytes(const Tokenizer& tokenizer, int64_t vocab_size) {
  // Of an id without its token: the entry in the vocabulary, or a placeholder,
  // and two groups of the pattern.
  constexpr int64_t kIdBytes = 32;
  // Of a byte: two in the vocabulary, and four in the pattern, if it is an
  // escaped backslash.
  constexpr int64_t kByteBytes = 6;
  constexpr int64_t kFixedBytes = 1024;
  int64_t bytes = kFixedBytes;
  for (int64_t id = 0; id < std::max(vocab_size, tokenizer.size()); ++id) {
    const size_t size = tokenizer.TokenBytes(static_cast<TokenId>(id)).size();
    bytes += kIdBytes + kByteBytes * static_cast<int64_t>(size);
  }
  return bytes;
}

}  // namespace rwkvd
