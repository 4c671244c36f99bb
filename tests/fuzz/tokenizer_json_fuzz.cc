// SPDX-License-Identifier: Apache-2.0
//
// Reads a tokenizer.json and encodes text with it: first the input itself, then
// the input with all single bytes added to its vocabulary as tokens 0 to 255,
// or 1 to 256 for a WordPiece model, so that inputs can be short.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/text/byte_alphabet.h"
#include "core/text/load_tokenizer.h"
#include "core/text/tokenizer.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

// The vocabulary entries of all single bytes, such as "\"!\":33,". Byte b is
// token b + `offset`.
std::string SingleBytes(int offset) {
  std::string entries;
  for (int i = 0; i < 256; ++i) {
    const std::string text = AlphabetCharacter(static_cast<uint8_t>(i));
    const bool escape = text == "\"" || text == "\\";
    absl::StrAppend(&entries, "\"", escape ? "\\" : "", text, "\":", i + offset,
                    ",");
  }
  return entries;
}

// Decoding returns the text in normalized form, so encoding and decoding that
// again does not change it. Does not check texts with an end-of-text token,
// which is decoded to nothing and joins the text around it.
void CheckEncoding(const Tokenizer& tokenizer, absl::string_view text) {
  const auto ids = tokenizer.Encode(text);
  if (!ids.ok()) return;  // a byte without a token
  for (const TokenId id : *ids) {
    RWKVD_CHECK(id >= 0 && id < tokenizer.size());
    if (id == tokenizer.end_of_text()) return;
    RWKVD_CHECK(!tokenizer.TokenBytes(id).empty());
  }
  const std::string once = tokenizer.Decode(*ids);
  const auto again = tokenizer.Encode(once);
  RWKVD_CHECK(again.ok());
  RWKVD_CHECK(tokenizer.Decode(*again) == once);
}

// Returns whether the first error is that single bytes are missing.
bool Read(absl::string_view json) {
  const auto tokenizer = TokenizerOfJson(json, "tokenizer.json");
  if (!tokenizer.ok()) {
    const absl::Status& status = tokenizer.status();
    RWKVD_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    return absl::StrContains(status.message(), ": expected the single bytes");
  }
  // The end of the input: its merges and the bytes that the fuzzer added.
  constexpr size_t kMaxTextBytes = 512;
  const size_t length = std::min(json.size(), kMaxTextBytes);
  CheckEncoding(**tokenizer, json.substr(json.size() - length));
  CheckEncoding(**tokenizer, "It's 12 e\u0301 \xC3( <|endoftext|>\n\n x\xFF");
  return false;
}

void ReadWithAndWithoutSingleBytes(absl::string_view json) {
  // Most inputs have another error, so that adding single bytes is useless.
  if (!Read(json)) return;
  constexpr absl::string_view kVocab = "\"vocab\":{";
  const size_t at = json.find(kVocab);
  if (at == json.npos) return;
  const size_t begin = at + kVocab.size();
  static const auto* const bpe = new std::string(SingleBytes(0));
  static const auto* const word_piece = new std::string(SingleBytes(1));
  const bool is_bpe = !absl::StrContains(json, "\"WordPiece\"");
  Read(absl::StrCat(json.substr(0, begin), is_bpe ? *bpe : *word_piece,
                    json.substr(begin)));
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::ReadWithAndWithoutSingleBytes(rwkvd::testing::AsText(data, size));
  return 0;
}
