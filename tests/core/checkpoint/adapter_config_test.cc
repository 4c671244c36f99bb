// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/adapter_config.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A configuration with these fields in addition to the necessary ones.
std::string Config(absl::string_view fields = "") {
  return absl::StrCat(R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8)",
                      fields.empty() ? "" : ", ", fields, "}");
}

AdapterConfig::Use UseFor(absl::string_view module, absl::string_view text) {
  const auto config = ParseAdapterConfig(text, "path");
  EXPECT_TRUE(config.ok()) << config.status();
  if (!config.ok()) return {};
  const auto use = config->UseFor(module);
  EXPECT_TRUE(use.ok()) << use.status();
  return use.value_or(AdapterConfig::Use{});
}

std::string ConfigRefusal(absl::string_view text) {
  const auto config = ParseAdapterConfig(text, "path");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(config.status().message());
}

TEST(AdapterConfigTest, ScaleIsAlphaDividedByTheRank) {
  const AdapterConfig::Use use = UseFor("blocks.0.att.key", Config());
  EXPECT_EQ(use.rank, 4);
  EXPECT_EQ(use.scale, 2);
  EXPECT_FALSE(ParseAdapterConfig(Config(), "path")->has_magnitudes);
}

TEST(AdapterConfigTest, RankStabilizedScaleIsAlphaDividedByTheRoot) {
  EXPECT_EQ(UseFor("blocks.0.att.key", Config(R"("use_rslora": true)")).scale,
            4);
  const std::string text = R"({"peft_type": "LORA", "r": 3, "lora_alpha": 0.5,
                               "use_rslora": true, "use_dora": true})";
  EXPECT_DOUBLE_EQ(UseFor("blocks.0.att.key", text).scale, .5 / std::sqrt(3.));
  EXPECT_TRUE(ParseAdapterConfig(text, "path")->has_magnitudes);
}

TEST(AdapterConfigTest, PatternsMatchTheEndOfAModulesName) {
  const std::string text = Config(R"json(
      "rank_pattern": {"att.key": 2, "blocks\\.1\\.ffn\\.(key|value)": 16},
      "alpha_pattern": {"key": 32, "^rwkv7.blocks.0.att.value": 1.5})json");
  const auto expect = [&](const char* module, int64_t rank, double alpha) {
    const AdapterConfig::Use use = UseFor(module, text);
    EXPECT_EQ(use.rank, rank) << module;
    EXPECT_EQ(use.scale, alpha / static_cast<double>(rank)) << module;
  };
  expect("rwkv7.blocks.0.att.key", 2, 32);
  expect("rwkv7.blocks.0.att.monkey", 4, 8);
  expect("rwkv7.blocks.0.att.key_2", 4, 8);
  expect("rwkv7.blocks.1.ffn.value", 16, 8);
  expect("rwkv7.blocks.0.att.value", 4, 1.5);
  expect("model.rwkv7.blocks.0.att.value", 4, 8);
  expect("att.key", 2, 32);
}

TEST(AdapterConfigTest, TheFirstMatchingPatternInTheFileCounts) {
  EXPECT_EQ(UseFor("blocks.0.att.key",
                   Config(R"("alpha_pattern": {"key": 4, "att.key": 40})"))
                .scale,
            1);
  EXPECT_EQ(UseFor("blocks.0.att.key",
                   Config(R"("alpha_pattern": {"key": 40, "att.key": 4})"))
                .scale,
            10);
}

TEST(AdapterConfigTest, FieldsOfTrainingAreIgnored) {
  EXPECT_EQ(UseFor("key", Config(R"("lora_dropout": 0.1, "bias": "none",
      "fan_in_fan_out": false, "init_lora_weights": "gaussian", "use_qalora":
      false, "megatron_config": null, "loftq_config": {}, "layer_replication":
      null, "modules_to_save": ["ln_out"], "target_modules": ["key"])"))
                .scale,
            2);
}

TEST(AdapterConfigTest, RefusesOtherKindsByName) {
  for (const char* kind : {"MISS", "BONE", "VERA", "LOHA", "ADALORA"}) {
    EXPECT_THAT(ConfigRefusal(absl::StrCat(R"({"peft_type": ")", kind,
                                           R"(", "r": 4, "lora_alpha": 8})")),
                AllOf(HasSubstr("path"), HasSubstr(kind)));
  }
  for (const char* init :
       {"pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"}) {
    EXPECT_THAT(ConfigRefusal(Config(
                    absl::StrCat(R"("init_lora_weights": ")", init, "\""))),
                HasSubstr(init));
  }
}

TEST(AdapterConfigTest, RefusesWhatMergingWouldIgnore) {
  for (const char* field :
       {R"("fan_in_fan_out": true)", R"("lora_bias": true)",
        R"("layer_replication": [[0, 4]])", R"("use_qalora": true)",
        R"("use_bdlora": {"x": 1})", R"("alora_invocation_tokens": [1])",
        R"("arrow_config": {"top_k": 3})", R"("use_anything_new": true)",
        R"("target_parameters": ["experts.gate"])"}) {
    const std::string name =
        std::string(field).substr(0, std::string(field).find(':'));
    EXPECT_THAT(ConfigRefusal(Config(field)), HasSubstr(name));
  }
}

TEST(AdapterConfigTest, RefusesMalformedFields) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "parse error"},
      {"[]", "expected a JSON object, got array"},
      {R"({"r": 4, "lora_alpha": 8})", "\"peft_type\""},
      {R"({"peft_type": "LORA", "lora_alpha": 8})", "\"r\""},
      {R"({"peft_type": "LORA", "r": 4})", "\"lora_alpha\""},
      {R"({"peft_type": "LORA", "r": 0, "lora_alpha": 8})", "got 0"},
      {R"({"peft_type": "LORA", "r": -1, "lora_alpha": 8})", "got -1"},
      {R"({"peft_type": "LORA", "r": 1e9, "lora_alpha": 8})", "to 65536"},
      {R"({"peft_type": "LORA", "r": 4, "lora_alpha": "8"})", "got string"},
      {R"({"peft_type": "LORA", "r": 4, "r": 4, "lora_alpha": 8})", "twice"},
  };
  for (const auto& [text, problem] : cases) {
    EXPECT_THAT(ConfigRefusal(text),
                AllOf(HasSubstr("path"), HasSubstr(problem)));
  }
  EXPECT_THAT(ConfigRefusal(Config(R"("use_dora": 1)")),
              HasSubstr("\"use_dora\""));
  EXPECT_THAT(ConfigRefusal(Config(R"("rank_pattern": {"key": 0.5})")),
              AllOf(HasSubstr("\"rank_pattern\""), HasSubstr("\"key\""),
                    HasSubstr("got 0.5")));
  EXPECT_THAT(ConfigRefusal(Config(R"("alpha_pattern": [1])")),
              HasSubstr("expected an object, got array"));
  EXPECT_THAT(ConfigRefusal(Config(R"("alpha_pattern": {"(key": 1})")),
              HasSubstr("expected a regular expression"));
}

TEST(AdapterConfigTest, PatternsThatTakeTooLongAreRefused) {
  const auto config =
      ParseAdapterConfig(Config(R"("rank_pattern": {"(a+)+[bc]": 2})"), "path");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(std::string(config->UseFor("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
                              .status()
                              .message()),
              HasSubstr("too many steps"));
}

}  // namespace
}  // namespace rwkvd
