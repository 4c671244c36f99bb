// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/transcript.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

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
