// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/inspect.h"

#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/process_memory.h"
#include "tests/testing/sparse_gguf.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Inspection InspectOrDie(const std::string& path) {
  auto inspection = Inspect(path, {}, std::nullopt);
  EXPECT_TRUE(inspection.ok()) << inspection.status();
  return inspection.ok() ? *std::move(inspection) : Inspection();
}

std::string WriteModel(const testing::SparseGguf& model) {
  const std::string path = testing::MakeTempDirectory() + "/model.gguf";
  testing::WriteSparseGgufOrDie(model, path);
  return path;
}

// The bytes that this process has read from files with read and pread.
int64_t ReadBytes() {
  std::ifstream file("/proc/self/io");
  std::string word;
  int64_t bytes = 0;
  while (file >> word) {
    if (word == "rchar:" && file >> bytes) return bytes;
  }
  ADD_FAILURE() << "/proc/self/io: no rchar";
  return 0;
}

TEST(InspectTest, TextDescribesAGgufFile) {
  const std::string path = WriteModel({});
  const std::string text = InspectionText(InspectOrDie(path));
  EXPECT_THAT(text,
              AllOf(HasSubstr(path), HasSubstr("GGUF, 1 file, "),
                    HasSubstr("GGUF layout"), HasSubstr("Q4_K 14 tensors"),
                    HasSubstr("F16 14 tensors")));
  EXPECT_THAT(
      text, AllOf(HasSubstr("rwkv7, 2 layers, embedding 256, 4 heads of 64, "
                            "ffn 1024, vocabulary 512"),
                  HasSubstr("257 tokens"), HasSubstr("blocks.*.att.key.weight"),
                  HasSubstr("as_stored"),
                  ::testing::Not(HasSubstr("not "
                                           "served"))));
}

TEST(InspectTest, JsonNamesTheTypeOfEachTensorOfAGgufFile) {
  const std::string path = WriteModel({.matrix = DType::kQ8_0});
  const auto json = nlohmann::json::parse(InspectionJson(InspectOrDie(path)));
  EXPECT_EQ(json.at("kind"), "model");
  EXPECT_EQ(json.at("format"), "GGUF");
  EXPECT_EQ(json.at("layout"), "GGUF");
  EXPECT_EQ(json.at("problem"), "");
  EXPECT_EQ(json.at("chat_template"), path);
  EXPECT_EQ(json.at("copied_bytes"), 0);
  std::map<std::string, std::string> types;
  for (const auto& group : json.at("tensor_groups")) {
    types[group.at("name")] = group.at("type");
  }
  EXPECT_EQ(types.at("emb.weight"), "Q8_0");
  EXPECT_EQ(types.at("head.weight"), "Q8_0");
  EXPECT_EQ(types.at("blocks.*.att.a1"), "F16");
  EXPECT_EQ(types.at("blocks.*.att.x_r"), "F32");
  EXPECT_EQ(types.at("blocks.*.ffn.value.weight"), "Q8_0");
}

// A model of 13 billion parameters. What is read are the header with the
// tokenizer.
TEST(InspectTest, LargeFilesAreNotRead) {
  const std::string path = WriteModel({.layers = 61,
                                       .width = 4096,
                                       .ffn = 16384,
                                       .vocab = 65536,
                                       .rank = 192,
                                       .matrix = DType::kQ8_0});
  constexpr int64_t kGigabyte = 1'000'000'000, kMegabyte = 1'000'000;
  const int64_t read_before = ReadBytes();
  const Inspection inspection = InspectOrDie(path);
  EXPECT_LT(ReadBytes() - read_before, 1 * kMegabyte);
  EXPECT_GT(inspection.file_bytes, 13 * kGigabyte);
  EXPECT_EQ(inspection.problem, "");
  EXPECT_LT(testing::PeakBytes([&] { InspectOrDie(path); }), 100 * kMegabyte);
}

}  // namespace
}  // namespace rwkvd
