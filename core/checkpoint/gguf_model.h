// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_MODEL_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/gguf_values.h"
#include "core/checkpoint/native_tensors.h"

namespace rwkvd {

// A model in one GGUF file or in the parts of a split one.
struct GgufModel {
  std::vector<std::shared_ptr<const MappedFile>> files;  // viewed by the rest
  GgufValues values;                                     // of the first file
  NativeTensors native;
};

// Reads the model whose first, or only, file is `first`. Returns the errors of
// ParseGguf and GgufToNativeLayout, InvalidArgument if `first` is another part,
// and NotFound if a part is missing.
absl::StatusOr<GgufModel> OpenGgufModel(
    std::shared_ptr<const MappedFile> first);

// The tokenizer in a GGUF file, as it is written there. Views the file.
struct GgufTokenizer {
  absl::string_view model;  // "rwkv" for the World tokenizer
  // By id. Of "rwkv", the bytes of a token as Python prints them.
  std::vector<absl::string_view> tokens;
  std::vector<int32_t> types;  // by id; enum llama_token_type in llama.cpp
};

// The tokenizer; without tokens if the file has none. InvalidArgument if the
// file has only a part of a tokenizer, or one with too many tokens.
absl::StatusOr<GgufTokenizer> TokenizerOf(const GgufValues& values);

// The text of the chat template, in Jinja; nothing if the file has none.
absl::StatusOr<std::optional<absl::string_view>> ChatTemplateOf(
    const GgufValues& values);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_MODEL_H_
