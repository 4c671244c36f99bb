// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zero_matrices.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> NamesOf(const std::vector<ZeroMatrix>& matrices) {
  std::vector<std::string> names;
  for (const ZeroMatrix& matrix : matrices) names.push_back(matrix.name);
  return names;
}

TEST(ZeroMatricesTest, MatricesOfZerosAndThoseThatEndWithZerosAreFound) {
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
  const auto found = FindZeroMatrices(*testing::MakeTensorFile(tensors, 2));
  EXPECT_THAT(NamesOf(found),
              ElementsAre("other0", "other45000", "small", "zero"));
  for (const ZeroMatrix& matrix : found) {
    EXPECT_EQ(matrix.is_entire, !absl::StartsWith(matrix.name, "other"));
  }
}

// A file of full length, of which a part has been downloaded.
TEST(ZeroMatricesTest, CutWithinAMatrixIsFoundUnlessItIsNearTheEnd) {
  constexpr int64_t kSide = 300;
  constexpr size_t kNum = kSide * kSide;
  testing::TestTensors tensors;
  const auto add = [&](const std::string& name, size_t num_ones) {
    tensors[name] = {.shape = {kSide, kSide},
                     .values = std::vector<float>(kNum)};
    std::fill_n(tensors[name].values.begin(), num_ones, 1.0f);
  };
  add("half", kNum / 2);
  add("seven_eighths", kNum / 8 * 7);
  add("near_the_end", kNum / 8 * 7 + 1);
  add("whole", kNum);
  add("zero", 0);
  const auto found = FindZeroMatrices(*testing::MakeTensorFile(tensors));
  EXPECT_THAT(NamesOf(found), ElementsAre("half", "seven_eighths", "zero"));
  EXPECT_FALSE(found[0].is_entire);
  EXPECT_TRUE(found[2].is_entire);
  EXPECT_EQ(DescribeZeroMatrices(found),
            "3 matrices are entirely zero or end with zeros: \"half\" (its "
            "end), \"seven_eighths\" (its end), \"zero\", in "
            "model.safetensors; the download may not have finished");
}

TEST(ZeroMatricesTest, FilesOfTheMatricesAreNamed) {
  constexpr int64_t kSide = 40;
  testing::TestTensors tensors;
  for (const char* name : {"a", "b", "c", "d"}) {
    tensors[name] = {.shape = {kSide, kSide},
                     .values = std::vector<float>(kSide * kSide)};
  }
  const auto file = testing::MakeTensorFile(tensors, 2);
  std::set<std::string> files;
  for (const ZeroMatrix& matrix : FindZeroMatrices(*file)) {
    files.insert(matrix.file);
  }
  EXPECT_EQ(files.size(), 2u);
  EXPECT_THAT(DescribeZeroMatrices(FindZeroMatrices(*file)),
              HasSubstr(absl::StrCat("\"d\", in ", absl::StrJoin(files, ", "),
                                     "; the download")));
}

TEST(ZeroMatricesTest, AtMostFiveAreListed) {
  EXPECT_EQ(DescribeZeroMatrices({{.name = "a"}}),
            "1 matrix is entirely zero: \"a\"; the download may not have "
            "finished");
  std::vector<ZeroMatrix> many;
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    many.push_back({.name = name, .file = absl::StrCat(name, ".st")});
  }
  EXPECT_EQ(DescribeZeroMatrices(many),
            "6 matrices are entirely zero: \"a\", \"b\", \"c\", \"d\", "
            "\"e\", ..., in a.st, b.st, c.st, d.st, e.st, ...; the download "
            "may not have finished");
}

}  // namespace
}  // namespace rwkvd
