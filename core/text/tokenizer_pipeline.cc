// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_pipeline.h"

#include <cstddef>
#include <string>

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

// A template that consists of the text alone, as in
// [{"Sequence": {"id": "A", "type_id": 0}}].
bool IsTextAlone(const Json& pieces) {
  if (!pieces.is_array() || pieces.size() != 1 || !pieces[0].is_object() ||
      pieces[0].size() != 1) {
    return false;
  }
  const Json& sequence = Field(pieces[0], "Sequence");
  return sequence.is_object() && Field(sequence, "id") == "A";
}

// "pair" and "special_tokens" have no effect on a single text without special
// tokens.
absl::Status CheckTemplate(const Json& value, absl::string_view where) {
  RWKVD_RETURN_IF_ERROR(
      ExpectObject(value, where, {"type", "single", "pair", "special_tokens"}));
  const Json& single = Field(value, "single");
  return Expect(IsTextAlone(single), absl::StrCat(where, ".single"),
                "a template that adds nothing", single);
}

// Post-processors may change offsets, but not tokens.
absl::Status CheckPostProcessor(const Json& value, absl::string_view where) {
  if (!value.is_object()) return CheckByteLevel(value, where);
  const Json& type = Field(value, "type");
  if (type == "TemplateProcessing") return CheckTemplate(value, where);
  if (type != "Sequence") return CheckByteLevel(value, where);
  RWKVD_RETURN_IF_ERROR(ExpectObject(value, where, {"type", "processors"}));
  const Json& processors = Field(value, "processors");
  const std::string list = absl::StrCat(where, ".processors");
  RWKVD_RETURN_IF_ERROR(
      Expect(processors.is_array(), list, "an array", processors));
  for (size_t i = 0; i < processors.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(
        CheckPostProcessor(processors[i], absl::StrCat(list, "[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckStages(const Json& root) {
  RWKVD_RETURN_IF_ERROR(ExpectObject(
      root, "the document",
      {"version", "truncation", "padding", "added_tokens", "normalizer",
       "pre_tokenizer", "post_processor", "decoder", "model"}));
  // Those of the last batch for which the file's library was used. They are no
  // part of the vocabulary, and have no effect here.
  for (const absl::string_view name : {"truncation", "padding"}) {
    const Json& value = Field(root, name);
    RWKVD_RETURN_IF_ERROR(Expect(value.is_null() || value.is_object(), name,
                                 "null or an object", value));
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
  const Json& post_processor = Field(root, "post_processor");
  if (!post_processor.is_null()) {
    RWKVD_RETURN_IF_ERROR(CheckPostProcessor(post_processor, "post_processor"));
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
