// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/stored_blocks.h"

#include <string>
#include <vector>

#include "core/checkpoint/layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::byte>& SomeBlocks() {
  static const auto* const kBytes = new std::vector<std::byte>(1024);
  return *kBytes;
}

Tensor StoredTensor(std::string name, std::vector<int64_t> shape) {
  Tensor tensor{.name = std::move(name), .dtype = DType::kU8};
  tensor.shape = std::move(shape);
  tensor.data = absl::MakeConstSpan(SomeBlocks()).first(tensor.num_elements());
  return tensor;
}

Tensor Restored(std::string name, std::vector<int64_t> shape) {
  auto tensor = FromStoredBlocks(
      StoredTensor(std::move(name), std::move(shape)), FileError("file"));
  EXPECT_TRUE(tensor.ok()) << tensor.status();
  return tensor.ok() ? *std::move(tensor) : Tensor();
}

std::string BlocksError(const Tensor& stored) {
  const auto tensor = FromStoredBlocks(stored, FileError("file"));
  EXPECT_FALSE(tensor.ok());
  return std::string(tensor.status().message());
}

TEST(StoredBlocksTest, NamesAndShapesAreReadAsTheyAreWritten) {
  const Tensor matrix = Restored("a.weight.q4_k", {3, 288});
  EXPECT_EQ(matrix.name, "a.weight");
  EXPECT_EQ(matrix.dtype, DType::kQ4_K);
  EXPECT_THAT(matrix.shape, ElementsAre(3, 512));
  EXPECT_TRUE(matrix.is_row_major());
  EXPECT_EQ(StoredBlocksName(matrix), "a.weight.q4_k");
  EXPECT_THAT(StoredBlocksShape(matrix), ElementsAre(3, 288));
}

TEST(StoredBlocksTest, TransposedMatricesAreTransposedViews) {
  const Tensor matrix = Restored("blocks.1.att.a1.q8_0.transposed", {3, 68});
  EXPECT_EQ(matrix.name, "blocks.1.att.a1");
  EXPECT_THAT(matrix.shape, ElementsAre(64, 3));
  EXPECT_THAT(matrix.strides, ElementsAre(1, 64));
  EXPECT_EQ(StoredBlocksName(matrix), "blocks.1.att.a1.q8_0.transposed");
  EXPECT_THAT(StoredBlocksShape(matrix), ElementsAre(3, 68));
}

TEST(StoredBlocksTest, OtherTensorsStayAsTheyAre) {
  for (const char* name : {"a.weight", "a.int8.rows", "q4_k", "a.q9_k"}) {
    EXPECT_EQ(Restored(name, {3, 4}).name, name);
    EXPECT_EQ(MatrixOfBlocks(name), std::nullopt);
  }
  EXPECT_EQ(MatrixOfBlocks("a.iq4_nl"), "a");
}

TEST(StoredBlocksTest, BadShapesAndTypesAreErrors) {
  EXPECT_THAT(BlocksError(StoredTensor("a.q8_0", {3, 33})),
              HasSubstr("file: tensor \"a.q8_0\": expected U8 [rows, a "
                        "multiple of 34], got U8 [3, 33]"));
  EXPECT_THAT(BlocksError(StoredTensor("a.q8_0", {34})),
              HasSubstr("got U8 [34]"));
  EXPECT_THAT(BlocksError(StoredTensor("a.q8_0", {0, 34})),
              HasSubstr("got U8 [0, 34]"));
  Tensor floats = StoredTensor("a.q8_0", {3, 34});
  floats.dtype = DType::kF32;
  EXPECT_THAT(BlocksError(floats), HasSubstr("got F32"));
}

TEST(StoredBlocksTest, OnlyLowRankMatricesMayBeTransposed) {
  EXPECT_THAT(BlocksError(StoredTensor(
                  "blocks.0.att.key.weight.q8_0.transposed", {3, 34})),
              HasSubstr("only low-rank matrices are"));
}

TEST(StoredBlocksTest, CheckpointsWithForeignNamesHaveNoBlocks) {
  const auto native = ToNativeLayout(
      {StoredTensor("model.layers.0.attn.r_proj.weight.q8_0", {3, 34}),
       StoredTensor("model.embeddings.weight", {3, 34})},
      "file", {});
  EXPECT_THAT(std::string(native.status().message()),
              HasSubstr("expected numbers, since the names are not native"));
}

}  // namespace
}  // namespace rwkvd
