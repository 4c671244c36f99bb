// SPDX-License-Identifier: Apache-2.0
//
// Reads a World vocabulary and encodes text with it: first the input itself,
// then the input after lines for all single bytes (tokens 1 to 256), so that
// inputs can be short.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "core/text/world_tokenizer.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

std::string SingleBytes() {
  std::string lines;
  for (int i = 0; i < 256; ++i) {
    absl::StrAppendFormat(&lines, "%d b'\\x%02x' 1\n", i + 1, i);
  }
  return lines;
}

void CheckEncoding(const WorldTokenizer& tokenizer, absl::string_view text) {
  const auto ids = tokenizer.Encode(text);
  RWKVD_CHECK(ids.ok());
  for (const TokenId id : *ids) {
    RWKVD_CHECK(id > 0 && id < tokenizer.size());
    RWKVD_CHECK(!tokenizer.TokenBytes(id).empty());
  }
  RWKVD_CHECK(tokenizer.Decode(*ids) == text);
}

// Returns whether the only error is that single bytes are missing.
bool Read(absl::string_view vocabulary, absl::string_view text) {
  const auto tokenizer = WorldTokenizer::Parse(vocabulary, "rwkv_vocab.txt");
  if (tokenizer.ok()) {
    CheckEncoding(**tokenizer, text);
    return false;
  }
  const absl::Status& status = tokenizer.status();
  RWKVD_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return absl::StartsWith(status.message(),
                          "rwkv_vocab.txt: expected the single bytes");
}

void ReadWithAndWithoutSingleBytes(absl::string_view input) {
  // Most inputs have another error, so that adding single bytes is useless.
  if (!Read(input, input)) return;
  static const auto* const bytes = new std::string(SingleBytes());
  const bool missing = Read(absl::StrCat(*bytes, input), input);
  RWKVD_CHECK(!missing);
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::ReadWithAndWithoutSingleBytes(rwkvd::testing::AsText(data, size));
  return 0;
}
