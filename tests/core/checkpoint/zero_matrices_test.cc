// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zero_matrices.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ZeroMatricesTest, OnlyMatricesOfZerosAreFound) {
  constexpr int64_t kSide = 300;  // larger than one piece
  const std::vector<float> zeros(kSide * kSide);
  testing::TestTensors tensors;
  tensors["zero"] = {.shape = {kSide, kSide}, .values = zeros};
  tensors["small"] = {.shape = {1, 2, 3}, .values = std::vector<float>(6)};
  tensors["vector"] = {.shape = {1, 1, kSide},
                       .values = std::vector<float>(kSide)};
  tensors["empty"] = {.shape = {0, kSide}};
  for (const size_t at : {size_t{0}, zeros.size() / 2, zeros.size() - 1}) {
    auto& other = tensors[absl::StrCat("other", at)];
    other = {.shape = {kSide, kSide}, .values = zeros};
    other.values[at] = 1e-9f;
  }
  EXPECT_THAT(FindZeroMatrices(*testing::MakeTensorFile(tensors, 2)),
              ElementsAre("small", "zero"));
  tensors.erase("zero");
  tensors.erase("small");
  EXPECT_THAT(FindZeroMatrices(*testing::MakeTensorFile(tensors)), IsEmpty());
}

TEST(ZeroMatricesTest, AtMostFiveAreListed) {
  EXPECT_EQ(DescribeZeroMatrices({"a"}),
            "1 matrix is entirely zero: \"a\"; the download may not have "
            "finished");
  EXPECT_THAT(DescribeZeroMatrices({"a", "b", "c", "d", "e", "f"}),
              ::testing::StartsWith("6 matrices are entirely zero: \"a\", "
                                    "\"b\", \"c\", \"d\", \"e\", ...;"));
}

}  // namespace
}  // namespace rwkvd
