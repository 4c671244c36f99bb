// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/companions.h"

#include <filesystem>
#include <string>

#include "core/text/chat/choose_chat_template.h"
#include "core/text/load_tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Ids outside of the vocabulary of bytes, so that a tokenizer is needed.
constexpr int64_t kVocabSize = 65536;

class CompanionsTest : public ::testing::Test {
 protected:
  std::vector<std::string> Copy() {
    const auto names = CopyTokenizers(from_, to_);
    EXPECT_TRUE(names.ok()) << names.status();
    return names.value_or(std::vector<std::string>());
  }
  std::vector<std::string> CopyTemplates() {
    const auto names = CopyChatTemplates(from_, to_);
    EXPECT_TRUE(names.ok()) << names.status();
    return names.value_or(std::vector<std::string>());
  }

  const std::string from_ = testing::MakeTempDirectory();
  const std::string to_ = testing::MakeTempDirectory();
};

TEST_F(CompanionsTest, CopiesTokenizersAndNothingElse) {
  testing::WriteFileOrDie(from_ + "/rwkv_vocab_v1.txt", "1 'a' 1\r\n");
  testing::WriteFileOrDie(from_ + "/20B_tokenizer.json", "{}");
  testing::WriteFileOrDie(from_ + "/tokenizer.json", "");
  for (const char* other :
       {"config.json", "tokenizer_config.json", "model.pth", "README.md",
        "vocab.txt", ".tokenizer.json", "rwkv_vocab.py"}) {
    testing::WriteFileOrDie(from_ + "/" + other, "x");
  }
  std::filesystem::create_directory(from_ + "/my_tokenizer.json");
  std::filesystem::create_symlink("/no/such/file", from_ + "/a_tokenizer.json");
  EXPECT_THAT(Copy(), ElementsAre("20B_tokenizer.json", "rwkv_vocab_v1.txt",
                                  "tokenizer.json"));
  EXPECT_EQ(testing::ReadFileOrDie(to_ + "/rwkv_vocab_v1.txt"), "1 'a' 1\r\n");
  EXPECT_EQ(testing::ReadFileOrDie(to_ + "/20B_tokenizer.json"), "{}");
  EXPECT_EQ(testing::ReadFileOrDie(to_ + "/tokenizer.json"), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(to_), {}), 3);
}

// Every file in which the server looks for a chat template is copied.
TEST_F(CompanionsTest, CopiesFilesThatMayContainAChatTemplate) {
  for (const char* name :
       {"chat_template.jinja", "chat_template.json", "tokenizer_config.json"}) {
    const std::string path = from_ + "/" + name;
    testing::WriteFileOrDie(path, R"({"chat_template": "unknown"})");
    EXPECT_THAT(CopyTemplates(), ElementsAre(name));
    EXPECT_EQ(testing::ReadFileOrDie(to_ + "/" + name),
              testing::ReadFileOrDie(path));
    EXPECT_TRUE(absl::IsInvalidArgument(
        ChooseChatTemplate({.directory = to_}).status()));
    std::filesystem::remove(path);
    std::filesystem::remove(to_ + "/" + name);
  }
  for (const char* other : {"generation_config.json", "template.jinja",
                            "release-manifest.json", "._chat_template.jinja"}) {
    testing::WriteFileOrDie(from_ + "/" + other, "x");
  }
  EXPECT_THAT(CopyTemplates(), IsEmpty());
}

// Every file that the server would use as tokenizer is copied.
TEST_F(CompanionsTest, CopiesWhatTheServerFinds) {
  for (const char* name :
       {"rwkv_vocab.txt", "rwkv_vocab_v20230424.txt", "tokenizer.json",
        "20B_tokenizer.json", "vocab.txt", ".rwkv_vocab.txt", "Tokenizer.json",
        "tokenizer.JSON", "tokenizer_config.json"}) {
    const std::string path = from_ + "/" + name;
    testing::WriteFileOrDie(path, "damaged");
    // The file is found but damaged, or not found.
    const auto found =
        ChooseTokenizer({.directory = from_, .model_vocab_size = kVocabSize});
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(Copy().size(), absl::IsNotFound(found.status()) ? 0u : 1u)
        << name;
    std::filesystem::remove(path);
  }
}

TEST_F(CompanionsTest, WithoutTokenizerCopiesNothing) {
  EXPECT_THAT(Copy(), IsEmpty());
}

}  // namespace
}  // namespace rwkvd
