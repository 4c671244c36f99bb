// SPDX-License-Identifier: Apache-2.0
//
// What the templates render is tested with a Jinja interpreter:
// tests/integration/vllm_test.py.
#include "core/text/chat/chat_jinja.h"

#include <string>

#include "absl/strings/match.h"
#include "core/text/chat/chat_template.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(ChatJinja, EachTemplateNamesItsRoles) {
  for (const ChatTemplate& known : AllChatTemplates()) {
    const absl::string_view text = JinjaOf(known);
    EXPECT_TRUE(absl::StrContains(text, std::string(known.user) + ": "))
        << known.name;
    EXPECT_TRUE(absl::StrContains(text, std::string(known.assistant) + ":"))
        << known.name;
    EXPECT_EQ(WithoutGenerationTags(text), text) << known.name;
  }
}

TEST(ChatJinja, GenerationTagsBecomeComments) {
  EXPECT_EQ(WithoutGenerationTags("a {%- generation -%} b {% endgeneration %}"),
            "a {#- generation -#} b {# endgeneration #}");
  EXPECT_EQ(WithoutGenerationTags("{% if add_generation_prompt %}"),
            "{% if add_generation_prompt %}");
}

}  // namespace
}  // namespace rwkvd
