// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_model.h"

#include <iterator>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/gguf_layout.h"
#include "core/checkpoint/gguf_split.h"

namespace rwkvd {
namespace {

// Far above the 65,536 tokens of models.
constexpr size_t kMaxTokens = 1 << 20;

// Opens the part at `path`, number `index` of `count`, from 0, and adds its
// tensors to those of `gguf`.
absl::StatusOr<std::shared_ptr<const MappedFile>> AddPart(
    const std::string& path, int index, int count, Gguf* gguf) {
  auto file = MappedFile::Open(path);
  if (!file.ok()) {
    return absl::Status(
        file.status().code(),
        absl::StrCat(
            gguf->values.path(), ": part ", index + 1, " of ", count, ": ",
            file.status().message(),
            absl::IsNotFound(file.status()) ? "; download all parts" : ""));
  }
  RWKVD_ASSIGN_OR_RETURN(Gguf part, ParseGguf(**file));
  RWKVD_RETURN_IF_ERROR(CheckGgufPart(part.values, index, count));
  std::move(part.tensors.begin(), part.tensors.end(),
            std::back_inserter(gguf->tensors));
  return *std::move(file);
}

}  // namespace

absl::StatusOr<GgufModel> OpenGgufModel(
    std::shared_ptr<const MappedFile> first) {
  RWKVD_ASSIGN_OR_RETURN(Gguf gguf, ParseGguf(*first));
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> others,
                         OtherGgufParts(gguf.values));
  std::vector<std::shared_ptr<const MappedFile>> files = {std::move(first)};
  const int count = static_cast<int>(others.size()) + 1;
  for (int i = 1; i < count; ++i) {
    RWKVD_ASSIGN_OR_RETURN(files.emplace_back(),
                           AddPart(others[i - 1], i, count, &gguf));
  }
  RWKVD_RETURN_IF_ERROR(CheckNumTensors(gguf.values, gguf.tensors.size()));
  GgufValues values = gguf.values;
  RWKVD_ASSIGN_OR_RETURN(NativeTensors native,
                         GgufToNativeLayout(std::move(gguf)));
  return GgufModel{std::move(files), std::move(values), std::move(native)};
}

absl::StatusOr<GgufTokenizer> TokenizerOf(const GgufValues& values) {
  GgufTokenizer tokenizer;
  RWKVD_ASSIGN_OR_RETURN(const auto model, values.Text("tokenizer.ggml.model"));
  RWKVD_ASSIGN_OR_RETURN(tokenizer.tokens,
                         values.Texts("tokenizer.ggml.tokens"));
  RWKVD_ASSIGN_OR_RETURN(tokenizer.types,
                         values.Integers("tokenizer.ggml.token_type"));
  const size_t size = tokenizer.tokens.size();
  if (size == 0) return tokenizer;
  const FileError error =
      FileError(values.path()).In("key", "tokenizer.ggml.tokens");
  if (!model.has_value() || tokenizer.types.size() != size) {
    return error("has ", size,
                 " tokens; expected as many numbers in "
                 "\"tokenizer.ggml.token_type\", and \"tokenizer.ggml.model\"");
  }
  if (size > kMaxTokens) {
    return error("has ", size, " tokens, the limit is ", kMaxTokens);
  }
  tokenizer.model = *model;
  return tokenizer;
}

absl::StatusOr<std::optional<absl::string_view>> ChatTemplateOf(
    const GgufValues& values) {
  return values.Text("tokenizer.chat_template");
}

}  // namespace rwkvd
