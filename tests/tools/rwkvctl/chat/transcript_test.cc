// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/transcript.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

namespace v1 = ::rwkv::v1;

TEST(TranscriptTest, JsonRoundTripPreservesAllFields) {
  const Transcript transcript = {
      "raven", "system \"s\"", {{"u\n1", " a1"}, {"ü", ""}}};
  const auto back = TranscriptFromJson(ToJson(transcript), "t.json");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->template_name, "raven");
  EXPECT_EQ(back->system, "system \"s\"");
  ASSERT_EQ(back->turns.size(), 2u);
  EXPECT_EQ(back->turns[0].user, "u\n1");
  EXPECT_EQ(back->turns[0].assistant, " a1");
  EXPECT_EQ(back->turns[1].user, "ü");
  EXPECT_EQ(back->turns[1].assistant, "");
}

TEST(TranscriptTest, JsonHasNamedFields) {
  const auto json = nlohmann::json::parse(ToJson({"world", "", {{"u", "a"}}}));
  EXPECT_EQ(json["template"], "world");
  EXPECT_EQ(json["turns"][0]["assistant"], "a");
}

TEST(TranscriptTest, JsonHasTheModeOfThinking) {
  const Transcript transcript = {"g1", "", {}, v1::CHAT_THINKING_OFF_SHORT};
  const auto back = TranscriptFromJson(ToJson(transcript), "t.json");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->thinking, v1::CHAT_THINKING_OFF_SHORT);
  EXPECT_EQ(ThinkingFromName("maybe").status().message(),
            "unknown mode of thinking \"maybe\"; expected default, off, "
            "off_short or on");
}

TEST(TranscriptTest, TemplatesOfEarlierVersionsAreModesOfThinking) {
  for (const auto& [name, thinking] :
       {std::pair("think", v1::CHAT_THINKING_ON),
        std::pair("no-think", v1::CHAT_THINKING_OFF)}) {
    const auto back = TranscriptFromJson(ToJson({name, "", {}}), "t.json");
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->template_name, "g1");
    EXPECT_EQ(back->thinking, thinking);
  }
}

TEST(TranscriptTest, ReplacesInvalidUtf8) {
  const auto back =
      TranscriptFromJson(ToJson({"world", "", {{"u\xff", "a"}}}), "t");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->turns[0].user, "u\uFFFD");
}

TEST(TranscriptTest, ErrorForInvalidDocumentsNamesTheFile) {
  const std::string start = R"({"format": "rwkvctl chat 1", "template": "w")";
  for (const std::string& json :
       {std::string(), std::string("[]"), std::string("{}"),
        std::string(R"({"format": "rwkvctl chat 2"})"), start + "}",
        start + R"(, "system": 1, "turns": []})",
        start + R"(, "system": "", "turns": {}})",
        start + R"(, "system": "", "turns": ["u"]})",
        start + R"(, "system": "", "turns": [{"user": "u"}]})"}) {
    const auto got = TranscriptFromJson(json, "t.json");
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr("t.json"));
  }
}

}  // namespace
}  // namespace rwkvd
