// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/ggml_blocks.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "core/checkpoint/tensor.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

constexpr int kNumBlocks = 64;

struct Known {
  DType dtype;
  std::vector<int> f16_at;  // the positions of f16 numbers in a block
  const char* sha256;       // of the dequantized elements of RandomBlocks
};

// The hashes are those of gguf-py 0.19.0: gguf.quants.dequantize of the same
// bytes, plus 0.0.
const Known kKnown[] = {
    {DType::kQ8_0,
     {0},
     "63e7afbc6cbb7a49cd22e91bcd7b413bd73743540ef5fb59f10e72b8f1b337b5"},
    {DType::kQ4_0,
     {0},
     "29cc423413b44a0defcb14e76f3d8d8bea40060d754ff7647ddc229db391fed2"},
    {DType::kQ4_1,
     {0, 2},
     "49f77f28da224529dc16fe3fccadf0371c852183c8a89593bbe496092e1b42da"},
    {DType::kQ5_0,
     {0},
     "c97fb75e234f1f7e17ccc3c2d1138781e782c99ab9588524bb25db3649fd276b"},
    {DType::kQ5_1,
     {0, 2},
     "4639ee4d5016851f9eaa284551d01f95408911856a57447a6e7d4dd683bd033e"},
    {DType::kQ2_K,
     {80, 82},
     "a3786f68d4c749011086ce5b1418514000ef440b42344fb699bd2d4002af0ec2"},
    {DType::kQ3_K,
     {108},
     "4824580734106081533e79c86c2c69629fdc8ce09dbd6e353f7453be650fa7f2"},
    {DType::kQ4_K,
     {0, 2},
     "4de4c654e6225393a3709214d0f974ab583f8d42e65fcc67319a299b8d383ea6"},
    {DType::kQ5_K,
     {0, 2},
     "ff8bd9fb5a3895193d1e125bc12629a1bd5a3e901631d1672d40a06586397a49"},
    {DType::kQ6_K,
     {208},
     "dcd01984fd7d71de841012deec087537f0d7fac85aabf3fb5a0e8dee56abbc56"},
    {DType::kIQ4_NL,
     {0},
     "8321474255a48525a51e61cedeff1ce41620df9c5042d2f45659fe7b3b4b9379"},
    {DType::kIQ4_XS,
     {0},
     "8c8859c3a0764666ddc3782d1e27f406fe733c1b9d815b8cb736ecb405fdaef9"},
};

// Bytes of a linear congruential generator. The f16 numbers in them are finite
// and below 2; some are subnormal.
std::vector<std::byte> RandomBlocks(const Known& known) {
  const int64_t size = BlockBytes(known.dtype);
  std::vector<std::byte> bytes(kNumBlocks * size);
  uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  for (int block = 0; block < kNumBlocks; ++block) {
    for (int at : known.f16_at) {
      std::byte* const high = &bytes[block * size + at + 1];
      *high &= std::byte{0xbf};
      if (block % 8 == 0) *high &= std::byte{0x83};  // subnormal
    }
  }
  return bytes;
}

std::string HashOf(std::vector<float> values) {
  for (float& value : values) value += 0.0f;  // makes zeros positive
  Sha256 digest;
  digest.Update(
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()),
                          values.size() * sizeof(float)));
  return digest.Hex();
}

std::vector<float> Dequantized(DType dtype,
                               absl::Span<const std::byte> blocks) {
  std::vector<float> values(blocks.size() / BlockBytes(dtype) *
                            BlockElements(dtype));
  DequantizeBlocks(dtype, blocks.data(), values.size(), values.data());
  return values;
}

TEST(GgmlBlocksTest, EveryTypeAgreesWithGgufPy) {
  for (const Known& known : kKnown) {
    EXPECT_EQ(HashOf(Dequantized(known.dtype, RandomBlocks(known))),
              known.sha256)
        << NameOf(known.dtype);
  }
}

TEST(GgmlBlocksTest, Q4_0SubtractsEightFromNibbles) {
  std::vector<std::byte> block(18);
  block[1] = std::byte{0x38};  // d = 0.5
  block[2] = std::byte{0xf0};  // elements 0 and 16
  const std::vector<float> x = Dequantized(DType::kQ4_0, block);
  EXPECT_EQ(x[0], -4);
  EXPECT_EQ(x[16], 3.5f);
}

TEST(GgmlBlocksTest, SubnormalScalesAreKept) {
  std::vector<std::byte> block(34);
  block[0] = std::byte{1};  // d = 2^-24
  block[2] = std::byte{3};
  EXPECT_EQ(Dequantized(DType::kQ8_0, block)[0], 3 * 0x1p-24f);
}

TEST(GgmlBlocksTest, MultipliedBlocksHaveMultipliedElements) {
  for (const Known& known : kKnown) {
    std::vector<std::byte> blocks = RandomBlocks(known);
    std::vector<float> expected = Dequantized(known.dtype, blocks);
    for (float& value : expected) value *= 8;
    for (int i = 0; i < kNumBlocks; ++i) {
      ASSERT_TRUE(
          MultiplyBlock(known.dtype, 8, &blocks[i * BlockBytes(known.dtype)]));
    }
    EXPECT_EQ(Dequantized(known.dtype, blocks), expected)
        << NameOf(known.dtype);
  }
}

TEST(GgmlBlocksTest, MultiplyingFailsIfAScaleOverflows) {
  std::vector<std::byte> block(18);
  block[1] = std::byte{0x78};  // d = 2^15
  EXPECT_FALSE(MultiplyBlock(DType::kQ4_0, 2, block.data()));
}

// A matrix of 3 rows of 64 elements in Q8_0, and its elements.
class BlockTensorTest : public ::testing::Test {
 protected:
  BlockTensorTest() : blocks_(RandomBlocks(kKnown[0])) {
    tensor_ = {.name = "t", .dtype = DType::kQ8_0, .shape = {3, 64}};
    tensor_.data = absl::MakeConstSpan(blocks_).first(6 * 34);
    values_ = Dequantized(DType::kQ8_0, tensor_.data);
  }

  std::vector<std::byte> blocks_;
  Tensor tensor_;
  std::vector<float> values_;
};

TEST_F(BlockTensorTest, HasTheBytesOfItsBlocks) {
  EXPECT_EQ(tensor_.num_elements(), 192);
  EXPECT_EQ(tensor_.num_bytes(), 204);
  EXPECT_EQ(StorageElements(tensor_), 192);
}

TEST_F(BlockTensorTest, IsReadInRowMajorOrder) {
  EXPECT_EQ(ToFloat(tensor_), values_);
}

TEST_F(BlockTensorTest, SlicesOfRowsAreRead) {
  const std::vector<float> rows(values_.begin() + 64, values_.end());
  EXPECT_EQ(ToFloat(Sliced(tensor_, 0, 1, 3)), rows);
}

TEST_F(BlockTensorTest, TransposedViewsAreRead) {
  std::vector<float> expected;
  for (int j = 0; j < 64; ++j) {
    for (int i = 0; i < 3; ++i) expected.push_back(values_[i * 64 + j]);
  }
  const Tensor transposed = Transposed(tensor_, 0, 1);
  EXPECT_EQ(transposed.num_bytes(), 204);
  EXPECT_EQ(ToFloat(transposed), expected);
}

TEST_F(BlockTensorTest, TheFactorMultipliesElements) {
  tensor_.factor = 4;
  for (float& value : values_) value *= 4;
  EXPECT_EQ(ToFloat(tensor_), values_);
  EXPECT_EQ(ToFloat(Sliced(tensor_, 0, 2, 3)),
            std::vector<float>(values_.begin() + 128, values_.end()));
}

TEST_F(BlockTensorTest, WholeBlocksAreCopied) {
  std::vector<std::byte> copy(68);
  CopyElements(tensor_, 64, absl::MakeSpan(copy));
  EXPECT_EQ(absl::MakeConstSpan(copy), tensor_.data.subspan(68, 68));
}

TEST_F(BlockTensorTest, CopiesOfPartsOfBlocksAbort) {
  std::vector<std::byte> copy(34);
  EXPECT_DEATH(CopyElements(tensor_, 1, absl::MakeSpan(copy)), "check failed");
}

}  // namespace
}  // namespace rwkvd
