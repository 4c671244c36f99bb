// SPDX-License-Identifier: Apache-2.0
// The writers of pickles, zip archives and .pth files write the same as Python
// and torch.save, and the files can be read.

#include "tests/testing/pth_writer.h"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/pth.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pickle_writer.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd::testing {
namespace {

// pickle.dumps({"a": (1, 2, 300, 70000), "b": ["a", "c"]}, 2)
TEST(PickleWriterTest, EqualsThePickleOfPython) {
  constexpr char kPickle[] =
      "\x80\x02}q\x00(X\x01\x00\x00\x00"
      "aq\x01(K\x01K\x02M,\x01Jp\x11\x01\x00tq\x02X\x01\x00\x00\x00"
      "bq\x03]q\x04(h\x01X\x01\x00\x00\x00"
      "cq\x05"
      "eu.";
  PickleWriter pickle;
  pickle.EmptyDict();
  pickle.SetItems(2, [&](int64_t i) {
    if (i == 0) {
      pickle.String("a");
      pickle.Ints({1, 2, 300, 70000});
    } else {
      pickle.String("b");
      pickle.Strings({"a", "c"});
    }
  });
  EXPECT_EQ(pickle.Finish(), std::string(kPickle, sizeof(kPickle) - 1));
}

TEST(ZipWriterTest, ChecksumIsCrc32) {
  EXPECT_EQ(Crc32("123456789"), 0xcbf43926);
}

TEST(ZipWriterTest, DataIsAlignedTo64Bytes) {
  ZipWriter zip;
  zip.Add("a/data.pkl", "first");
  zip.Add("a/data/0", "second");
  const std::string bytes = zip.Finish();
  EXPECT_EQ(bytes.substr(0, 4), "PK\3\4");
  EXPECT_EQ(bytes.substr(64, 5), "first");
  EXPECT_EQ(bytes.find("second") % 64, 0u);
  EXPECT_EQ(bytes.substr(bytes.size() - 22, 4), "PK\5\6");
}

class PthWriterTest : public ::testing::TestWithParam<PthOptions> {};

TEST_P(PthWriterTest, TensorsAreReadBack) {
  const TestTensors tensors = RandomRwkv6({}, 1, [](const std::string& name) {
    return static_cast<DType>(name.size() % kNumFloatTypes);
  });
  const std::string path = MakeTempDirectory() + "/model.pth";
  WriteFileOrDie(path, PthBytes(tensors, GetParam()));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(IsPth((*file)->bytes()));
  const auto read = ParsePth(**file);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), tensors.size());
  int64_t num_strided = 0;
  for (const Tensor& tensor : *read) {
    EXPECT_TRUE(CopyOf(tensor) == tensors.at(tensor.name)) << tensor.name;
    if (!tensor.is_row_major()) ++num_strided;
  }
  EXPECT_EQ(num_strided > 10, GetParam().transposed);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, PthWriterTest,
    ::testing::Values(PthOptions{}, PthOptions{.modern = false},
                      PthOptions{.legacy = true}, PthOptions{.wrapped = true},
                      PthOptions{.parameters = true},
                      PthOptions{.shared_storage = true},
                      PthOptions{.transposed = true},
                      PthOptions{.legacy = true,
                                 .wrapped = true,
                                 .parameters = true,
                                 .shared_storage = true,
                                 .transposed = true,
                                 .modern = false}),
    [](const auto& info) { return "Form" + std::to_string(info.index); });

}  // namespace
}  // namespace rwkvd::testing
