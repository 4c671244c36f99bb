// SPDX-License-Identifier: Apache-2.0
// Checks the private memory of a model, in addition to its mapped file:
// activations, states, the small vectors, and the known cost of its format, but
// nothing that grows with the weights.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/sparse_gguf.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using testing::FileFormat;
using testing::TestTensors;

// Names, shapes, tables of the allocator and stacks of threads.
constexpr int64_t kBookkeeping = 1 << 20;

// Weights of about 20 MB, far more than the allowed memory.
TestTensors RandomModel(Architecture architecture, DType dtype) {
  return testing::RandomCheckpoint(
      architecture,
      {.rwkv4 = {.layers = 3,
                 .embedding = 512,
                 .attention = 512,
                 .ffn = 2048,
                 .vocab = 900},
       .rwkv5 = {.heads = 8, .head_size = 64, .ffn = 1800, .vocab = 900},
       .rwkv6 = {.heads = 8,
                 .head_size = 64,
                 .ffn = 1800,
                 .vocab = 900,
                 .mix_rank = 32,
                 .decay_rank = 64},
       .rwkv7 = {.heads = 8,
                 .head_size = 64,
                 .ffn = 2048,
                 .vocab = 900,
                 .w_rank = 64,
                 .a_rank = 64,
                 .v_rank = 32,
                 .g_rank = 128}},
      1, dtype);
}

nlohmann::json Measure(const std::string& checkpoint, int rows = 256) {
  FILE* const probe = popen(
      absl::StrCat("tests/memory/memory_probe ", checkpoint, " ", rows).c_str(),
      "r");
  std::string output;
  for (int c; (c = std::fgetc(probe)) != EOF;) output.push_back(c);
  EXPECT_EQ(pclose(probe), 0) << checkpoint;
  return nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
}

bool CopiesNothing(FileFormat format) {
  return format != FileFormat::kFla && format != FileFormat::kFlaOld;
}

class MemoryTest : public ::testing::TestWithParam<Architecture> {};

void ExpectNothingButCopies(const std::string& checkpoint, FileFormat format) {
  const auto bytes = Measure(checkpoint);
  ASSERT_TRUE(bytes.is_object());
  const int64_t file = bytes["file"], copied = bytes["copied"];
  ASSERT_GT(file, 10 << 20);
  EXPECT_LE(bytes["loading"].get<int64_t>(),
            copied + bytes["vectors"].get<int64_t>() + kBookkeeping);
  EXPECT_LE(bytes["serving"].get<int64_t>(), kBookkeeping);
  if (CopiesNothing(format)) {
    EXPECT_EQ(copied, 0);
  } else {
    EXPECT_LE(copied, file / 10);
  }
}

TEST_P(MemoryTest, WeightsOfEveryFormatStayMapped) {
  const TestTensors tensors = RandomModel(GetParam(), DType::kF16);
  for (FileFormat format : testing::AllFileFormats()) {
    if (!HasFormat(GetParam(), format)) continue;
    SCOPED_TRACE(std::string(NameOf(format)));
    ExpectNothingButCopies(WriteCheckpointAs(testing::MakeTempDirectory(),
                                             tensors, GetParam(), format),
                           format);
  }
}

TEST_P(MemoryTest, WeightsOfEveryTypeStayMapped) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(std::string(NameOf(dtype)));
    ExpectNothingButCopies(
        testing::WriteCheckpoint(testing::MakeTempDirectory(),
                                 RandomModel(GetParam(), dtype)),
        FileFormat::kSafetensors);
  }
}

// Blocks are packed into memory of the process, and their pages of the file
// released. All that the process has, and all pages of files, its program's
// too, together take at most 1.15 times the file.
TEST(GgufMemoryTest, ModelTakesLittleMoreThanItsFile) {
  for (const DType dtype :
       {DType::kQ4_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kQ8_0}) {
    SCOPED_TRACE(std::string(NameOf(dtype)));
    const std::string path = testing::MakeTempDirectory() + "/model.gguf";
    const auto file =
        static_cast<int64_t>(testing::WriteSparseGgufOrDie({.layers = 16,
                                                            .width = 1024,
                                                            .ffn = 4096,
                                                            .vocab = 16384,
                                                            .rank = 64,
                                                            .matrix = dtype},
                                                           path));
    ASSERT_GT(file, 100 << 20);
    const auto bytes = Measure(path, /*rows=*/16);
    ASSERT_TRUE(bytes.is_object());
    const int64_t loading = bytes["loading"], workspace = bytes["workspace"],
                  serving = bytes["serving"], mapped = bytes["mapped"];
    EXPECT_LE(loading + workspace + serving + mapped, file * 115 / 100);
    EXPECT_GT(loading + mapped, file * 8 / 10);  // it is not compressed
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllVersions, MemoryTest, ::testing::ValuesIn(testing::kAllArchitectures),
    [](const ::testing::TestParamInfo<Architecture>& info) {
      return absl::StrReplaceAll(NameOf(info.param), {{".", ""}});
    });

}  // namespace
}  // namespace rwkvd
