// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_pipeline.h"

#include <cstddef>
#include <cstdint>
#include <limits>
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
  RWKVD_RETURN_IF_ERROR(CheckByteLevel(value, "pre_tokenizer"));
  const Json& prefix = Field(value, "add_prefix_space");
  return Expect(prefix == false, "pre_tokenizer.add_prefix_space", "false",
                prefix);
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

absl::Status CheckModelType(const Json& root) {
  RWKVD_RETURN_IF_ERROR(ExpectObject(
      root, "the document",
      {"version", "truncation", "padding", "added_tokens", "normalizer",
       "pre_tokenizer", "post_processor", "decoder", "model"}));
  const Json& model = Field(root, "model");
  RWKVD_RETURN_IF_ERROR(Expect(model.is_object(), "model", "an object", model));
  const Json& type = Field(model, "type");
  return Expect(type == "BPE" || type == "WordPiece", "model.type",
                "\"BPE\" or \"WordPiece\"", type);
}

absl::Status CheckStages(const Json& root) {
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
  RWKVD_RETURN_IF_ERROR(CheckPreTokenizer(Field(root, "pre_tokenizer")));
  const Json& post_processor = Field(root, "post_processor");
  if (!post_processor.is_null()) {
    RWKVD_RETURN_IF_ERROR(CheckPostProcessor(post_processor, "post_processor"));
  }
  return CheckByteLevel(Field(root, "decoder"), "decoder");
}

// Texts are normalized and split into words.
absl::Status CheckBpeStages(const Json& root) {
  const Json& normalizer = Field(root, "normalizer");
  RWKVD_RETURN_IF_ERROR(ExpectObject(normalizer, "normalizer", {"type"}));
  const Json& type = Field(normalizer, "type");
  RWKVD_RETURN_IF_ERROR(
      Expect(type == "NFC", "normalizer.type", "\"NFC\"", type));
  const Json& regex = Field(Field(root, "pre_tokenizer"), "use_regex");
  return Expect(regex.is_null() || regex == true, "pre_tokenizer.use_regex",
                "true", regex);
}

absl::Status CheckBpe(const Json& model) {
  RWKVD_RETURN_IF_ERROR(
      ExpectObject(model, "model",
                   {"type", "dropout", "unk_token", "continuing_subword_prefix",
                    "end_of_word_suffix", "fuse_unk", "byte_fallback",
                    "ignore_merges", "vocab", "merges"}));
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

// Each text is one word, as it is.
absl::Status CheckWordPieceStages(const Json& root) {
  const Json& normalizer = Field(root, "normalizer");
  RWKVD_RETURN_IF_ERROR(
      Expect(normalizer.is_null(), "normalizer", "null", normalizer));
  const Json& regex = Field(Field(root, "pre_tokenizer"), "use_regex");
  return Expect(regex == false, "pre_tokenizer.use_regex", "false", regex);
}

// Longer words are encoded as unknown. No text has so many bytes.
constexpr uint64_t kMinLongestWord = std::numeric_limits<int32_t>::max();

absl::Status CheckWordPiece(const Json& model) {
  RWKVD_RETURN_IF_ERROR(
      ExpectObject(model, "model",
                   {"type", "unk_token", "continuing_subword_prefix",
                    "max_input_chars_per_word", "vocab"}));
  // The unknown token is never used, since every byte is a token.
  const Json& unknown = Field(model, "unk_token");
  RWKVD_RETURN_IF_ERROR(
      Expect(unknown.is_string(), "model.unk_token", "a string", unknown));
  const Json& prefix = Field(model, "continuing_subword_prefix");
  RWKVD_RETURN_IF_ERROR(
      Expect(prefix == "", "model.continuing_subword_prefix", "\"\"", prefix));
  const Json& longest = Field(model, "max_input_chars_per_word");
  return Expect(longest.is_number_unsigned() &&
                    longest.get<uint64_t>() >= kMinLongestWord,
                "model.max_input_chars_per_word",
                absl::StrCat("at least ", kMinLongestWord), longest);
}

}  // namespace

bool IsWordPiece(const Json& document) {
  return Field(Field(document, "model"), "type") == "WordPiece";
}

absl::Status CheckTokenizerPipeline(const Json& document) {
  RWKVD_RETURN_IF_ERROR(CheckModelType(document));
  RWKVD_RETURN_IF_ERROR(CheckStages(document));
  const Json& model = Field(document, "model");
  if (IsWordPiece(document)) {
    RWKVD_RETURN_IF_ERROR(CheckWordPiece(model));
    return CheckWordPieceStages(document);
  }
  RWKVD_RETURN_IF_ERROR(CheckBpe(model));
  return CheckBpeStages(document);
}

}  // namespace rwkvd
