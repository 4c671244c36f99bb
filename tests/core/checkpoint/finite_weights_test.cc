// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/finite_weights.h"

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/base/float16.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/test_tensor.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

std::vector<std::byte> TensorBytes(const testing::TestTensor& tensor) {
  const std::string text = testing::BytesOf(tensor);
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

TEST(FiniteWeightsTest, FindsTheFirstNonFiniteElementAtAnyPosition) {
  for (const DType dtype : kFloats) {
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      for (const int64_t at : {0, 1, 4095, 4096, 9000}) {
        testing::TestTensor tensor = {.shape = {9001}, .dtype = dtype};
        tensor.values.assign(9001, -0.5f);
        tensor.values[at] = tensor.values[9000] = bad;
        EXPECT_EQ(FindNonFinite(dtype, TensorBytes(tensor)), at)
            << NameOf(dtype);
      }
    }
  }
}

TEST(FiniteWeightsTest, TheLargestNumbersAndSubnormalsAreFinite) {
  const std::vector<float> ends[] = {
      {std::numeric_limits<float>::max(),
       std::numeric_limits<float>::denorm_min(), -0.0f},
      {65504, -65504, 0x1p-24f},
      {0x1.FEp127f, -0x1.FEp127f, 0x1p-133f}};
  for (int i = 0; i < 3; ++i) {
    const testing::TestTensor tensor = {
        .shape = {3}, .dtype = kFloats[i], .values = ends[i]};
    EXPECT_EQ(FindNonFinite(kFloats[i], TensorBytes(tensor)), std::nullopt);
  }
}

TEST(FiniteWeightsTest, TransposedTensorsAreReadInRowMajorOrder) {
  const testing::TestTensor stored = {.shape = {2, 3},
                                      .values = {0, 1, 2, 3, kNaN, 5}};
  const std::vector<std::byte> bytes = TensorBytes(stored);
  Tensor tensor{.name = "t", .shape = {2, 3}, .data = bytes};
  EXPECT_EQ(FindNonFinite(tensor), 4);
  EXPECT_EQ(FindNonFinite(Transposed(tensor, 0, 1)), 3);
}

TEST(FiniteWeightsTest, FindsAScaleOfABlockThatIsNotFinite) {
  // Blocks of Q8_0: a scale as F16, and 32 quants.
  constexpr int kBlockSize = 34;
  std::vector<std::byte> blocks(200 * kBlockSize, std::byte{1});
  EXPECT_EQ(FindNonFinite(DType::kQ8_0, blocks), std::nullopt);
  blocks[150 * kBlockSize + 1] = std::byte{0x7E};  // NaN
  EXPECT_EQ(FindNonFinite(DType::kQ8_0, blocks), 150 * 32);
  Tensor tensor{
      .name = "t", .dtype = DType::kQ8_0, .shape = {100, 64}, .data = blocks};
  EXPECT_EQ(FindNonFinite(tensor), 150 * 32);
  // Column 75 of the transposed matrix, and its first row.
  EXPECT_EQ(FindNonFinite(Transposed(tensor, 0, 1)), 75);
  EXPECT_THAT(std::string(NonFiniteError("path", tensor, 150 * 32).message()),
              HasSubstr("element 4800 is nan"));
}

class CheckFiniteTest : public ::testing::Test {
 protected:
  std::shared_ptr<const TensorFile> Open() const {
    return testing::MakeTensorFile(tensors_);
  }

  testing::TestTensors tensors_ = testing::RandomRwkv4({}, 1);
  ThreadPool pool_{3};
};

TEST_F(CheckFiniteTest, FiniteWeightsPass) {
  EXPECT_TRUE(CheckFinite(*Open(), pool_).ok());
  EXPECT_TRUE(CheckFinite(*Open(), [] { return false; }).ok());
}

TEST_F(CheckFiniteTest, NamesTheFirstTensorItsLayerAndTheElement) {
  tensors_["blocks.1.ffn.value.weight"].values[77] = kNaN;
  tensors_["ln_out.bias"].values[0] = kInfinity;
  const auto file = Open();
  const absl::Status status = CheckFinite(*file, pool_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(file->path()),
                    HasSubstr("tensor \"blocks.1.ffn.value.weight\": layer 1, "
                              "element 77 is nan")));
  EXPECT_EQ(CheckFinite(*file, [] { return false; }), status);
}

TEST_F(CheckFiniteTest, ATensorOfNoLayerNamesNone) {
  tensors_["emb.weight"].values[5] = -kInfinity;
  EXPECT_THAT(std::string(CheckFinite(*Open(), pool_).message()),
              HasSubstr("tensor \"emb.weight\": element 5 is -inf"));
}

TEST_F(CheckFiniteTest, TheSearchCanBeStopped) {
  tensors_["emb.weight"].values[5] = kNaN;
  EXPECT_TRUE(absl::IsCancelled(CheckFinite(*Open(), [] { return true; })));
}

}  // namespace
}  // namespace rwkvd
