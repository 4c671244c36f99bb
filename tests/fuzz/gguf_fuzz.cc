// SPDX-License-Identifier: Apache-2.0
//
// Reads a GGUF file: its header, its tensors in the native layout, and its
// tokenizer.
#include <utility>

#include "core/base/check.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/gguf_layout.h"
#include "core/checkpoint/gguf_model.h"
#include "core/checkpoint/gguf_split.h"
#include "core/text/gguf_tokens.h"
#include "tests/fuzz/check_tensor.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/mapped_input.h"

namespace rwkvd {
namespace {

// Aborts the process unless `result` has a value or is InvalidArgument.
template <typename T>
bool IsOk(const absl::StatusOr<T>& result) {
  RWKVD_CHECK(result.ok() ||
              result.status().code() == absl::StatusCode::kInvalidArgument);
  return result.ok();
}

void ReadTokenizer(const GgufValues& values) {
  const auto tokenizer = TokenizerOf(values);
  if (!IsOk(tokenizer) || tokenizer->tokens.empty()) return;
  const auto tokens = ParseGgufTokens(
      {tokenizer->model, tokenizer->tokens, tokenizer->types}, "tokens");
  if (IsOk(tokens)) RWKVD_CHECK(tokens->size() == tokenizer->tokens.size());
}

void Read(absl::Span<const std::byte> bytes) {
  const testing::MappedInput file(bytes);
  auto gguf = ParseGguf(*file);
  if (!IsOk(gguf)) return;
  size_t data_bytes = 0;
  for (const Tensor& tensor : gguf->tensors) {
    testing::CheckTensor(tensor, file->bytes());
    data_bytes += tensor.data.size();
  }
  RWKVD_CHECK(data_bytes <= bytes.size());  // tensors do not overlap
  IsOk(OtherGgufParts(gguf->values));
  IsOk(ChatTemplateOf(gguf->values));
  ReadTokenizer(gguf->values);
  const auto native = GgufToNativeLayout(*std::move(gguf));
  if (!IsOk(native)) return;
  for (const Tensor& tensor : native->tensors) {
    const size_t elements = ToFloat(tensor).size();
    RWKVD_CHECK(static_cast<int64_t>(elements) == tensor.num_elements());
  }
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsBytes(rwkvd::testing::AsText(data, size)));
  return 0;
}
