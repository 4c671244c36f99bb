// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_TOKEN_TEXTS_H_
#define RWKVD_SERVICE_CONVERT_TOKEN_TEXTS_H_

#include <cstdint>

#include "core/text/tokenizer.h"
#include "core/text/utf8_stream.h"

namespace rwkvd {

// What tokens in a response carry if the request has `token_text`: their bytes
// and their text. Without a tokenizer, nothing.
//
// A value; the tokenizer outlives it.
class TokenTexts {
 public:
  TokenTexts() = default;
  explicit TokenTexts(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  // Sets the fields of a Token, TokenLogprob or TokenScore with this id.
  template <typename Message>
  void Set(int32_t id, Message* message) const {
    if (tokenizer_ == nullptr) return;
    const absl::string_view bytes = tokenizer_->TokenBytes(id);
    message->set_bytes(bytes.data(), bytes.size());
    message->set_text(ToUtf8(bytes));
  }

  // The bytes of these fields in the wire format.
  int64_t WireBytes(int32_t id) const;

 private:
  const Tokenizer* tokenizer_ = nullptr;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_TOKEN_TEXTS_H_
