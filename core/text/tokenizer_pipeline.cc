// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_pipeline.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/text/json_fields.h"

namespace rwkvd {
namespace {

absl::Status CheckByteLevel(const Json& value, absl::string_view where) {
  RWKVD_RETURN_IF_ERROR(ExpectObject(
      value, where, {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
  for (const absl::string_view name :
       {"add_prefix_space", "trim_offsets", "use_regex"}) {
    const Json& flag = Field(value, name);
    RWKVD_RETURN_IF_ERROR(Expect(flag.is_null() || flag.is_boolean(),
                                 absl::StrCat(where, ".", name), "a boolean",
                                 flag));
  }
  const Json& type = Field(value, "type");
  return Expect(type == "ByteLevel", absl::StrCat(where, ".type"),
                "\"ByteLevel\"", type);
}

absl::Status CheckPreTokenizer(const Json& value) {
  constexpr absl::string_view kWhere = "pre_tokenizer";
  RWKVD_RETURN_IF_ERROR(CheckByteLevel(value, kWhere));
  const Json& prefix = Field(value, "add_prefix_space");
  RWKVD_RETURN_IF_ERROR(Expect(
      prefix == false, "pre_tokenizer.add_prefix_space", "false", prefix));
  const Json& regex = Field(value, "use_regex");
  return Expect(regex.is_null() || regex == true, "pre_tokenizer.use_regex",
                "true", regex);
}

absl::Status CheckStages(const Json& root) {
  RWKVD_RETURN_IF_ERROR(ExpectObject(
      root, "the document",
      {"version", "truncation", "padding", "added_tokens", "normalizer",
       "pre_tokenizer", "post_processor", "decoder", "model"}));
  for (const absl::string_view name : {"truncation", "padding"}) {
    const Json& value = Field(root, name);
    RWKVD_RETURN_IF_ERROR(Expect(value.is_null(), name, "null", value));
  }
  const Json& version = Field(root, "version");
  RWKVD_RETURN_IF_ERROR(
      Expect(version == "1.0", "version", "\"1.0\"", version));
  const Json& normalizer = Field(root, "normalizer");
  RWKVD_RETURN_IF_ERROR(ExpectObject(normalizer, "normalizer", {"type"}));
  const Json& type = Field(normalizer, "type");
  RWKVD_RETURN_IF_ERROR(
      Expect(type == "NFC", "normalizer.type", "\"NFC\"", type));
  RWKVD_RETURN_IF_ERROR(CheckPreTokenizer(Field(root, "pre_tokenizer")));
  // As a post-processor, ByteLevel changes only offsets.
  const Json& post_processor = Field(root, "post_processor");
  if (!post_processor.is_null()) {
    RWKVD_RETURN_IF_ERROR(CheckByteLevel(post_processor, "post_processor"));
  }
  return CheckByteLevel(Field(root, "decoder"), "decoder");
}

absl::Status CheckModelSettings(const Json& model) {
  RWKVD_RETURN_IF_ERROR(
      ExpectObject(model, "model",
                   {"type", "dropout", "unk_token", "continuing_subword_prefix",
                    "end_of_word_suffix", "fuse_unk", "byte_fallback",
                    "ignore_merges", "vocab", "merges"}));
  const Json& type = Field(model, "type");
  RWKVD_RETURN_IF_ERROR(Expect(type == "BPE", "model.type", "\"BPE\"", type));
  for (const absl::string_view name : {"dropout", "unk_token"}) {
    const Json& value = Field(model, name);
    RWKVD_RETURN_IF_ERROR(
        Expect(value.is_null(), absl::StrCat("model.", name), "null", value));
  }
  for (const absl::string_view name :
       {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& value = Field(model, name);
    RWKVD_RETURN_IF_ERROR(Expect(value.is_null() || value == "",
                                 absl::StrCat("model.", name), "null", value));
  }
  // fuse_unk has no effect without an unknown token.
  const Json& fuse = Field(model, "fuse_unk");
  RWKVD_RETURN_IF_ERROR(Expect(fuse.is_null() || fuse.is_boolean(),
                               "model.fuse_unk", "a boolean", fuse));
  return ExpectFalse(model, "model", {"byte_fallback", "ignore_merges"});
}

}  // namespace

absl::Status CheckTokenizerPipeline(const Json& document) {
  RWKVD_RETURN_IF_ERROR(CheckStages(document));
  return CheckModelSettings(Field(document, "model"));
}

}  // namespace rwkvd
