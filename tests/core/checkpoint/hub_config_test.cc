// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/hub_config.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::string ConfigError(const std::string& text) {
  const auto config = ParseHubConfig(text, "dir/config.json");
  EXPECT_FALSE(config.ok()) << text;
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("dir/config.json"));
  return std::string(config.status().message());
}

void ExpectDefaults(const HubConfig& config) {
  EXPECT_EQ(config.model_type, "");
  EXPECT_EQ(config.hidden_size, 0);
  EXPECT_EQ(config.num_hidden_layers, 0);
  EXPECT_EQ(config.vocab_size, 0);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_TRUE(config.norm_first);
  EXPECT_FALSE(config.embedding_norm_is_fused.has_value());
  EXPECT_EQ(config.quant_method, "");
}

TEST(HubConfigTest, ReadsAllFields) {
  const auto config = ParseHubConfig(
      R"({"model_type": "rwkv7", "hidden_size": 128, "num_hidden_layers": 3,
          "vocab_size": 256, "tie_word_embeddings": true, "norm_first": false,
          "value_dim": [1, [2]], "auto_map": {"AutoConfig": "x"}})",
      "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "rwkv7");
  EXPECT_EQ(config->hidden_size, 128);
  EXPECT_EQ(config->num_hidden_layers, 3);
  EXPECT_EQ(config->vocab_size, 256);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_FALSE(config->norm_first);
}

TEST(HubConfigTest, AbsentFieldsHaveDefaults) {
  for (const char* text : {"{}", R"({"hidden_size": null, "x": 1})"}) {
    const auto config = ParseHubConfig(text, "config.json");
    ASSERT_TRUE(config.ok()) << config.status();
    ExpectDefaults(*config);
  }
}

TEST(HubConfigTest, FusedEmbeddingNormHasTwoFields) {
  const auto is_fused = [](const std::string& text) {
    const auto config = ParseHubConfig(text, "config.json");
    EXPECT_TRUE(config.ok()) << config.status();
    return config->embedding_norm_is_fused;
  };
  EXPECT_EQ(is_fused(R"({"embedding_layer_norm_fused": true})"), true);
  EXPECT_EQ(is_fused(R"({"embedding_layer_norm_fused": false})"), false);
  EXPECT_EQ(is_fused(R"({"embedding_layer_norm_fused": null})"), std::nullopt);
  EXPECT_EQ(is_fused(R"({"deep_embedding": true})"), true);
  EXPECT_EQ(is_fused(R"({"deep_embedding": false})"), std::nullopt);
  EXPECT_THAT(
      ConfigError(
          R"({"deep_embedding": true, "embedding_layer_norm_fused": false})"),
      HasSubstr("\"deep_embedding\": true contradicts"));
  EXPECT_THAT(ConfigError(R"({"deep_embedding": 1})"),
              HasSubstr("\"deep_embedding\": expected true or false"));
}

TEST(HubConfigTest, QuantMethodIsThatOfTheQuantizationConfig) {
  const auto method = [](const std::string& text) {
    const auto config = ParseHubConfig(text, "config.json");
    EXPECT_TRUE(config.ok()) << config.status();
    return config->quant_method;
  };
  EXPECT_EQ(method(R"({"quantization_config": {"quant_method": "awq"}})"),
            "awq");
  EXPECT_EQ(method(R"({"quantization_config": {"bits": 4}})"), "?");
  EXPECT_EQ(method(R"({"quantization_config": [1]})"), "?");
  EXPECT_EQ(method(R"({"quantization_config": null})"), "");
}

TEST(HubConfigTest, WrongTypeIsAnErrorThatNamesTheField) {
  EXPECT_THAT(ConfigError(R"({"model_type": 7})"),
              HasSubstr("\"model_type\": expected a string, got number"));
  EXPECT_THAT(
      ConfigError(R"({"tie_word_embeddings": "yes"})"),
      HasSubstr("\"tie_word_embeddings\": expected true or false, got string"));
  EXPECT_THAT(ConfigError(R"({"norm_first": 1})"),
              HasSubstr("\"norm_first\": expected true or false, got number"));
  for (const char* size :
       {"-1", "1.5", "\"64\"", "[64]", "2147483648", "18446744073709551615"}) {
    for (const char* field :
         {"hidden_size", "num_hidden_layers", "vocab_size"}) {
      EXPECT_THAT(
          ConfigError(absl::StrCat("{\"", field, "\": ", size, "}")),
          HasSubstr(absl::StrCat("\"", field, "\": expected a whole number")));
    }
  }
}

TEST(HubConfigTest, MalformedOrHugeTextIsRejected) {
  ConfigError("");
  ConfigError("{");
  ConfigError(R"({"a": 1, "a": 2})");
  ConfigError(std::string(100000, '['));
  ConfigError("{}" + std::string(2 << 20, ' '));
  EXPECT_THAT(ConfigError("[]"),
              HasSubstr("expected a JSON object, got array"));
}

TEST(HubConfigTest, MissingFileMeansDefaults) {
  const auto config = FindHubConfig(testing::MakeTempDirectory());
  ASSERT_TRUE(config.ok()) << config.status();
  ExpectDefaults(*config);
}

TEST(HubConfigTest, FileIsFoundInItsDirectory) {
  const std::string directory = testing::MakeTempDirectory();
  testing::WriteFileOrDie(directory + "/config.json",
                          R"({"model_type": "rwkv"})");
  const auto config = FindHubConfig(directory);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "rwkv");
  testing::WriteFileOrDie(directory + "/config.json", "oops");
  EXPECT_THAT(std::string(FindHubConfig(directory).status().message()),
              HasSubstr(directory + "/config.json"));
}

}  // namespace
}  // namespace rwkvd
