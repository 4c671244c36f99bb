// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/tensor_reader.h"

#include <string>
#include <vector>

#include "core/base/mapped_file.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

// A file of numbers whose tensors begin at an odd offset.
class TensorReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string bytes(1 << 20, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(i * i % 253);
    }
    const std::string path = testing::MakeTempDirectory() + "/numbers";
    testing::WriteFileOrDie(path, bytes);
    auto file = MappedFile::Open(path);
    ASSERT_TRUE(file.ok());
    file_ = *file;
  }

  Tensor MakeTensor(std::vector<int64_t> shape, DType dtype) {
    Tensor tensor{.name = "t", .dtype = dtype, .shape = std::move(shape)};
    tensor.data = file_->bytes().subspan(5, tensor.num_bytes());
    return tensor;
  }

  // Reads the whole tensor in pieces of the given number of elements.
  std::vector<std::byte> Read(const Tensor& tensor, int64_t step) {
    const FilePages pages;
    const int64_t size = SizeOf(tensor.dtype), num = tensor.num_elements();
    std::vector<std::byte> elements(num * size);
    for (int64_t first = 0; first < num; first += step) {
      ReadElements(tensor, pages, first,
                   absl::MakeSpan(elements).subspan(
                       first * size, std::min(step, num - first) * size));
    }
    return elements;
  }

  void ExpectReads(const Tensor& tensor) {
    std::vector<std::byte> expected(tensor.num_bytes());
    CopyElements(tensor, 0, absl::MakeSpan(expected));
    const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
    for (int64_t step : {row, 70 * row, row + 1, int64_t{1} << 40}) {
      EXPECT_TRUE(Read(tensor, step) == expected)
          << ShapeString(tensor.shape) << " by " << step;
    }
  }

  std::shared_ptr<const MappedFile> file_;
};

TEST_F(TensorReaderTest, ReadsInRowMajorOrderFromAnyLayout) {
  for (DType dtype : {DType::kF32, DType::kF16}) {
    ExpectReads(MakeTensor({}, dtype));
    ExpectReads(MakeTensor({1000}, dtype));
    ExpectReads(MakeTensor({63, 130}, dtype));
    ExpectReads(Transposed(MakeTensor({63, 130}, dtype), 0, 1));
    ExpectReads(Transposed(MakeTensor({200, 65}, dtype), 0, 1));
    ExpectReads(Transposed(MakeTensor({1, 65}, dtype), 0, 1));
    ExpectReads(Transposed(MakeTensor({5, 66, 30}, dtype), 1, 2));
    ExpectReads(Transposed(MakeTensor({5, 66, 30}, dtype), 0, 2));
    ExpectReads(Sliced(MakeTensor({63, 130}, dtype), 1, 3, 100));
    ExpectReads(
        Transposed(Sliced(MakeTensor({63, 130}, dtype), 1, 3, 100), 0, 1));
  }
}

TEST_F(TensorReaderTest, DoesNotReleaseOtherMemory) {
  std::vector<std::byte> memory(1 << 20, std::byte{7});
  Tensor tensor{.name = "t", .dtype = DType::kF32, .shape = {512, 512}};
  tensor.data = memory;
  const std::vector<std::byte> expected = memory;
  EXPECT_TRUE(Read(tensor, 5000) == expected);
  EXPECT_TRUE(Read(Transposed(tensor, 0, 1), 5120) == expected);
  EXPECT_TRUE(memory == expected);
}

TEST_F(TensorReaderTest, PiecesAreWholeRowsOfAFewMegabytes) {
  const Tensor matrix = {.dtype = DType::kF16, .shape = {1 << 20, 1000}};
  EXPECT_EQ(ElementsPerPiece(matrix) % 1000, 0);
  EXPECT_LE(ElementsPerPiece(matrix), 4 << 20);
  EXPECT_GT(ElementsPerPiece(matrix), (4 << 20) - 1000);
  const Tensor wide = {.dtype = DType::kF32, .shape = {2, 1 << 30}};
  EXPECT_EQ(ElementsPerPiece(wide), 2 << 20);
  EXPECT_GT(ElementsPerPiece({.shape = {}}), 0);
  EXPECT_GT(ElementsPerPiece({.shape = {3, 0}}), 0);
}

}  // namespace
}  // namespace rwkvd
