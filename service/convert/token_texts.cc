// SPDX-License-Identifier: Apache-2.0
#include "service/convert/token_texts.h"

#include <cstddef>

#include "absl/strings/string_view.h"
#include "core/base/utf8.h"
#include "service/convert/response_size.h"

namespace rwkvd {
namespace {

// The bytes of a field with a value of `size` bytes and a tag of one byte. An
// empty value has none.
int64_t FieldBytes(size_t size) {
  if (size == 0) return 0;
  return 1 + VarintBytes(size) + static_cast<int64_t>(size);
}

}  // namespace

int64_t TokenTexts::WireBytes(int32_t id) const {
  if (tokenizer_ == nullptr) return 0;
  const absl::string_view bytes = tokenizer_->TokenBytes(id);
  const bool is_utf8 = ValidUtf8Length(bytes) == bytes.size();
  return FieldBytes(bytes.size()) +
         FieldBytes(is_utf8 ? bytes.size() : ToUtf8(bytes).size());
}

}  // namespace rwkvd
