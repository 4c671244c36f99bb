// SPDX-License-Identifier: Apache-2.0
#include "service/served_model.h"

#include <string>

#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

TEST(ServedModelTest, IsNamedAfterItsFileOrFolder) {
  EXPECT_EQ(NameOfPath("models/demo"), "demo");
  EXPECT_EQ(NameOfPath("models/demo/"), "demo");
  EXPECT_EQ(NameOfPath("models/demo/model.safetensors.index.json"), "demo");
  EXPECT_EQ(NameOfPath("/m/rwkv-4.1-world.safetensors"), "rwkv-4.1-world");
  EXPECT_EQ(NameOfPath("demo"), "demo");
  EXPECT_EQ(NameOfPath("/"), "model");
}

TEST(ServedModelTest, ATokenizerMayBeSmallerThanTheModelButNotLarger) {
  const auto bytes = LoadTokenizer("bytes");
  ASSERT_TRUE(bytes.ok());
  ModelConfig config;
  config.vocab_size = 256;
  EXPECT_TRUE(CheckFit(**bytes, config).ok());
  config.vocab_size = 300;
  EXPECT_TRUE(CheckFit(**bytes, config).ok());
  config.vocab_size = 255;
  const std::string error(CheckFit(**bytes, config).message());
  EXPECT_THAT(error, HasSubstr("255"));
  EXPECT_THAT(error, HasSubstr("largest id"));
}

TEST(ServedModelTest, AMissingModelIsNamed) {
  Options options;
  options.model = ::testing::TempDir() + "/absent.safetensors";
  const auto model = LoadServedModel(options);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(std::string(model.status().message()),
              HasSubstr("absent.safetensors"));
}

}  // namespace
}  // namespace rwkvd
