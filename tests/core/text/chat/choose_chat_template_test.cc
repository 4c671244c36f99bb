// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/choose_chat_template.h"

#include <optional>
#include <string>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::MakeTempDirectory;
using testing::WriteFileOrDie;

std::string OfficialText() {
  return testing::ReadFileOrDie(testing::FormatFixturesDirectory() +
                                "/chat/chat_template.jinja");
}

// The name of the chosen template, or the error.
std::string ChosenName(const ChatTemplateChoice& choice) {
  const auto chosen = ChooseChatTemplate(choice);
  return std::string(chosen.ok() ? chosen->chat_template->name
                                 : chosen.status().message());
}

std::string RecognizedName(absl::string_view text) {
  const auto found = RecognizeChatTemplate(text, "x");
  return std::string(found.ok() ? (*found)->name : found.status().message());
}

TEST(RecognizeChatTemplate, RecognizesOfficialTemplate) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const std::string text = OfficialText();
  EXPECT_EQ(RecognizedName(text), "official");
  EXPECT_EQ(RecognizedName(absl::StrReplaceAll(text, {{"\n", "\r\n"}})),
            "official");
  EXPECT_EQ(RecognizedName("\n" + text + "\n\n"), "official");
}

TEST(RecognizeChatTemplate, RefusesChangedTemplate) {
  RWKVD_NEED_FORMAT_FIXTURES();
  std::string text = OfficialText();
  text.replace(text.find("User: "), 6, "Human: ");
  EXPECT_THAT(RecognizedName(text), HasSubstr("x: unknown chat template"));
}

TEST(RecognizeChatTemplate, RecognizesTemplateOfGguf) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const std::string file = testing::ReadFileOrDie(
      testing::FormatFixturesDirectory() + "/gguf/models/v7odd.Q4_K_M.gguf");
  const size_t begin = file.find("{%- if not add_generation_prompt");
  const size_t end = file.rfind("{%- endif -%}");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(RecognizedName(file.substr(begin, end + 13 - begin)), "world");
}

TEST(RecognizeChatTemplate, RecognizesNameOfOldConverters) {
  EXPECT_EQ(RecognizedName("rwkv-world"), "world");
}

TEST(ChooseChatTemplate, NameIsPreferred) {
  EXPECT_EQ(ChosenName({.name = "raven", .embedded = "rwkv-world"}), "raven");
  EXPECT_THAT(ChosenName({.name = "x"}),
              HasSubstr("expected one of official, g1, world, raven"));
}

TEST(ChooseChatTemplate, EmbeddedTemplateIsPreferredToFolder) {
  const std::string directory = MakeTempDirectory();
  WriteFileOrDie(directory + "/chat_template.jinja", "unknown");
  EXPECT_EQ(
      ChosenName(
          {.directory = directory, .embedded = "rwkv-world", .file = "m.gguf"}),
      "world");
}

TEST(ChooseChatTemplate, ReadsFilesOfTheFolderInOrder) {
  const std::string directory = MakeTempDirectory();
  const std::string config = directory + "/tokenizer_config.json";
  WriteFileOrDie(config, R"({"chat_template": "rwkv-world"})");
  const auto chosen = ChooseChatTemplate({.directory = directory});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->source, config);
  WriteFileOrDie(directory + "/chat_template.jinja", "unknown");
  EXPECT_THAT(ChosenName({.directory = directory}),
              HasSubstr("/chat_template.jinja: unknown chat template"));
}

TEST(ChooseChatTemplate, ErrorsNameTheFlagAndTheTemplates) {
  const std::string directory = MakeTempDirectory();
  const auto advises =
      HasSubstr("; set --chat_template to one of official, g1, world, raven");
  EXPECT_THAT(ChosenName({.directory = directory}),
              AllOf(advises, HasSubstr("no chat template: looked for")));
  EXPECT_TRUE(
      absl::IsNotFound(ChooseChatTemplate({.directory = directory}).status()));
  EXPECT_THAT(ChosenName({.embedded = "{{ x }}", .file = "m.gguf"}),
              AllOf(advises, HasSubstr("m.gguf: unknown chat template (7 ")));
  WriteFileOrDie(directory + "/tokenizer_config.json", "{");
  EXPECT_THAT(ChosenName({.directory = directory}), advises);
}

TEST(ChatTemplateInJson, FindsTheDefault) {
  EXPECT_EQ(**ChatTemplateInJson(R"({"chat_template": "a"})", "x"), "a");
  EXPECT_EQ(**ChatTemplateInJson(R"({"chat_template": [
      {"name": "tool_use", "template": "b"},
      {"name": "default", "template": "c"}]})",
                                 "x"),
            "c");
  EXPECT_EQ(*ChatTemplateInJson(R"({"a": 1})", "x"), std::nullopt);
  EXPECT_EQ(*ChatTemplateInJson(R"({"chat_template": null})", "x"),
            std::nullopt);
}

TEST(ChatTemplateInJson, RefusesOtherValues) {
  for (const char* json :
       {"{", R"({"chat_template": 1})", R"({"chat_template": []})",
        R"({"chat_template": [{"name": "default"}]})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ChatTemplateInJson(json, "x").status()))
        << json;
  }
}

}  // namespace
}  // namespace rwkvd
