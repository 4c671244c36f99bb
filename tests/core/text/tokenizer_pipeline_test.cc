// SPDX-License-Identifier: Apache-2.0
#include "core/text/tokenizer_pipeline.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/text/small_files.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

// A change to a valid document: `value` replaces the value at a JSON pointer.
struct StageChange {
  const char* pointer;
  const char* value;
  const char* complaint;  // part of the error message; "": accepted
};

void ExpectOutcome(const StageChange& change,
                   Json document = SmallTokenizerJson()) {
  document[Json::json_pointer(change.pointer)] = Json::parse(change.value);
  const absl::Status status = CheckTokenizerPipeline(document);
  SCOPED_TRACE(std::string(change.pointer) + " = " + change.value);
  if (*change.complaint == '\0') {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(change.complaint));
}

TEST(TokenizerPipelineTest, SmallDocumentIsAccepted) {
  EXPECT_TRUE(CheckTokenizerPipeline(SmallTokenizerJson()).ok());
}

TEST(TokenizerPipelineTest, SettingsWithoutEffectAreAccepted) {
  const StageChange changes[] = {
      {"/post_processor", "null", ""},
      {"/pre_tokenizer/trim_offsets", "false", ""},
      {"/pre_tokenizer/use_regex", "true", ""},
      {"/decoder/add_prefix_space", "true", ""},
      {"/decoder/use_regex", "true", ""},
      {"/truncation", "{\"max_length\": 512}", ""},
      {"/padding", "{\"strategy\": \"x\"}", ""},
      {"/model/fuse_unk", "true", ""},
      {"/model/byte_fallback", "false", ""},
      {"/model/ignore_merges", "false", ""},
      {"/model/continuing_subword_prefix", "\"\"", ""},
      {"/model/end_of_word_suffix", "\"\"", ""}};
  for (const StageChange& change : changes) ExpectOutcome(change);
}

TEST(TokenizerPipelineTest, SettingsThatChangeResultAreRefusedByName) {
  const StageChange changes[] = {
      {"/version", "\"2.0\"", "version: expected \"1.0\", got \"2.0\""},
      {"/normalizer", "null", "normalizer: expected an object"},
      {"/normalizer", "{\"type\": \"NFKC\"}",
       "normalizer.type: expected \"NFC\", got \"NFKC\""},
      {"/normalizer", "{\"type\": \"Sequence\", \"normalizers\": []}",
       "normalizer: the field \"normalizers\" is not supported"},
      {"/pre_tokenizer", "null", "pre_tokenizer: expected an object"},
      {"/pre_tokenizer/type", "\"Whitespace\"", "pre_tokenizer.type"},
      {"/pre_tokenizer/add_prefix_space", "true",
       "pre_tokenizer.add_prefix_space: expected false, got true"},
      {"/pre_tokenizer/add_prefix_space", "null", "add_prefix_space"},
      {"/pre_tokenizer/use_regex", "false", "pre_tokenizer.use_regex"},
      {"/pre_tokenizer/pattern", "{}", "\"pattern\" is not supported"},
      {"/post_processor", "{\"type\": \"RobertaProcessing\"}",
       "post_processor.type"},
      {"/decoder", "null", "decoder: expected an object"},
      {"/decoder/type", "\"WordPiece\"", "decoder.type"},
      {"/model", "null", "model: expected an object"},
      {"/model/type", "\"WordPiece\"", "\"dropout\" is not supported"},
      {"/model/type", "\"RwkvTrie\"",
       "model.type: expected \"BPE\" or \"WordPiece\", got \"RwkvTrie\""},
      {"/model/type", "\"Unigram\"", "model.type"},
      {"/model/type", "null", "model.type"},
      {"/model/dropout", "0.1", "model.dropout: expected null, got 0.1"},
      {"/model/unk_token", "\"<unk>\"", "model.unk_token"},
      {"/model/continuing_subword_prefix", "\"##\"",
       "model.continuing_subword_prefix"},
      {"/model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
      {"/model/byte_fallback", "true", "model.byte_fallback: expected false"},
      {"/model/ignore_merges", "true", "model.ignore_merges: expected false"},
      {"/model/cache_capacity", "5", "\"cache_capacity\" is not supported"},
      {"/extra", "null", "the document: the field \"extra\" is not supported"}};
  for (const StageChange& change : changes) ExpectOutcome(change);
}

TEST(TokenizerPipelineTest, WordPieceOfWholeTextsIsAccepted) {
  const StageChange changes[] = {
      {"/model/unk_token", "\"[UNK]\"", ""},  // never used
      {"/model/max_input_chars_per_word", "18446744073709551615", ""},
      {"/post_processor", "{\"type\": \"ByteLevel\"}", ""},
      {"/truncation", "{\"max_length\": 512}", ""},
      {"/padding", "{\"strategy\": \"x\"}", ""},
      {"/pre_tokenizer/trim_offsets", "false", ""},
      {"/decoder/add_prefix_space", "true", ""}};
  for (const StageChange& change : changes) {
    ExpectOutcome(change, SmallWordPieceJson());
  }
}

TEST(TokenizerPipelineTest, WordPieceSettingsThatChangeResultAreRefused) {
  const StageChange changes[] = {
      {"/normalizer", "{\"type\": \"NFC\"}", "normalizer: expected null"},
      {"/pre_tokenizer/use_regex", "true",
       "pre_tokenizer.use_regex: expected false, got true"},
      {"/pre_tokenizer/use_regex", "null", "pre_tokenizer.use_regex"},
      {"/pre_tokenizer/add_prefix_space", "true", "add_prefix_space"},
      {"/pre_tokenizer", "null", "pre_tokenizer: expected an object"},
      {"/decoder/type", "\"WordPiece\"", "decoder.type"},
      {"/model/continuing_subword_prefix", "\"##\"",
       "model.continuing_subword_prefix: expected \"\", got \"##\""},
      {"/model/continuing_subword_prefix", "null",
       "model.continuing_subword_prefix"},
      {"/model/max_input_chars_per_word", "100",
       "model.max_input_chars_per_word: expected at least 2147483647, got 100"},
      {"/model/max_input_chars_per_word", "2147483646", "expected at least"},
      {"/model/max_input_chars_per_word", "-1", "expected at least"},
      {"/model/max_input_chars_per_word", "null", "expected at least"},
      {"/model/unk_token", "null", "model.unk_token: expected a string"},
      {"/model/merges", "[]", "\"merges\" is not supported"}};
  for (const StageChange& change : changes) {
    ExpectOutcome(change, SmallWordPieceJson());
  }
}

TEST(TokenizerPipelineTest, PostProcessorsThatAddNothingAreAccepted) {
  const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
  const std::string alone = R"({"type": "TemplateProcessing", "single": [)" +
                            text + R"(], "pair": [)" + text +
                            R"(], "special_tokens": {}})";
  const std::string both = R"({"type": "Sequence", "processors": [)" + alone +
                           R"(, {"type": "ByteLevel"}]})";
  // As current versions of transformers write it.
  const std::string pair = R"({"type": "TemplateProcessing", "single": [)" +
                           text + R"(], "pair": [)" + text +
                           R"(, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {}})";
  for (const std::string& value : {alone, both, pair}) {
    ExpectOutcome({"/post_processor", value.c_str(), ""});
  }
}

TEST(TokenizerPipelineTest, PostProcessorsThatAddTokensAreRefused) {
  const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
  const std::string token =
      R"({"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}})";
  for (const std::string& single :
       {token + ", " + text, text + ", " + token, token, std::string(),
        std::string(R"({"Sequence": {"id": "B"}})"), std::string("[]")}) {
    const std::string value =
        R"({"type": "TemplateProcessing", "single": [)" + single + "]}";
    ExpectOutcome({"/post_processor", value.c_str(),
                   "post_processor.single: expected a template that adds "
                   "nothing"});
    const std::string list =
        R"({"type": "Sequence", "processors": [)" + value + "]}";
    ExpectOutcome({"/post_processor", list.c_str(),
                   "post_processor.processors[0].single: expected"});
  }
  ExpectOutcome({"/post_processor", R"({"type": "Sequence"})",
                 "post_processor.processors: expected an array"});
}

TEST(TokenizerPipelineTest, FieldsOfWrongTypeAreRefused) {
  const struct {
    const char* pointer;
    bool may_be_null;
    bool may_be_boolean;
    bool may_be_empty_string;
    bool may_be_object = false;
  } fields[] = {{"/version", false, false, false},
                {"/truncation", true, false, false, true},
                {"/padding", true, false, false, true},
                {"/normalizer", false, false, false},
                {"/normalizer/type", false, false, false},
                {"/pre_tokenizer", false, false, false},
                {"/pre_tokenizer/type", false, false, false},
                {"/pre_tokenizer/trim_offsets", true, true, false},
                {"/post_processor", true, false, false},
                {"/post_processor/trim_offsets", true, true, false},
                {"/decoder", false, false, false},
                {"/decoder/use_regex", true, true, false},
                {"/model", false, false, false},
                {"/model/type", false, false, false},
                {"/model/dropout", true, false, false},
                {"/model/unk_token", true, false, false},
                {"/model/continuing_subword_prefix", true, false, true},
                {"/model/end_of_word_suffix", true, false, true},
                {"/model/fuse_unk", true, true, false}};
  for (const auto& field : fields) {
    for (const char* value : {"null", "true", "false", "0", "-1", "1.5", "\"\"",
                              "[]", "{}", "[[1]]", "{\"type\": 1}"}) {
      const Json json = Json::parse(value);
      if (json.is_null() && field.may_be_null) continue;
      if (json.is_boolean() && field.may_be_boolean) continue;
      if (json == "" && field.may_be_empty_string) continue;
      if (json.is_object() && field.may_be_object) continue;
      ExpectOutcome({field.pointer, value, "expected"});
    }
  }
}

TEST(TokenizerPipelineTest, DocumentThatIsNotObjectIsRefused) {
  for (const char* text : {"null", "[]", "\"x\"", "7", "{}"}) {
    EXPECT_FALSE(CheckTokenizerPipeline(Json::parse(text)).ok()) << text;
  }
}

}  // namespace
}  // namespace rwkvd
