// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_split.h"

#include <string>

#include "core/checkpoint/tensor_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/gguf_writer.h"

namespace rwkvd {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;

// Part `index`, from 0, of `count`, with one tensor.
GgufWriter Part(int index, int count) {
  GgufWriter writer;
  if (index == 0) {
    writer.Text("general.architecture", "rwkv7").U32("rwkv7.wkv.head_size", 2);
    writer.U32("split.tensors.count", count);
  }
  writer.U32("split.no", index).U32("split.count", count);
  const char* const kNames[] = {"output_norm.bias", "output_norm.weight"};
  writer.Floats(kNames[index], {1}, {float(index)});
  return writer;
}

class GgufSplitTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const GgufWriter& writer) {
    testing::WriteFileOrDie(Path(name), writer.Bytes());
  }
  std::string Path(const std::string& name) { return directory_ + "/" + name; }
  std::string Message(const std::string& path) {
    const auto file = TensorFile::Open(path);
    EXPECT_FALSE(file.ok());
    return std::string(file.status().message());
  }

  const std::string directory_ = testing::MakeTempDirectory();
};

TEST_F(GgufSplitTest, NamesOfPartsAreParsed) {
  const auto part = ParseGgufPart("a-b-00002-of-00013.gguf");
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->stem, "a-b");
  EXPECT_EQ(part->number, 2);
  EXPECT_EQ(part->count, 13);
  for (const char* name : {"a.gguf", "a-00001-of-00002", "00001-of-00002.gguf",
                           "a-1-of-2.gguf", "a-0000x-of-00002.gguf"}) {
    EXPECT_FALSE(ParseGgufPart(name).has_value()) << name;
  }
}

TEST_F(GgufSplitTest, OpensAllPartsByTheFirstOneOrTheFolder) {
  Write("m-00001-of-00002.gguf", Part(0, 2));
  Write("m-00002-of-00002.gguf", Part(1, 2));
  for (const std::string& path : {Path("m-00001-of-00002.gguf"), directory_}) {
    const auto file = TensorFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->num_files(), 2);
    EXPECT_EQ(ToFloat(*(*file)->Find("ln_out.weight"))[0], 1);
  }
}

TEST_F(GgufSplitTest, AnotherPartNamesTheFirstOne) {
  Write("m-00002-of-00002.gguf", Part(1, 2));
  EXPECT_THAT(Message(Path("m-00002-of-00002.gguf")),
              HasSubstr("is part 2 of 2; open the first one, "
                        "m-00001-of-00002.gguf"));
}

TEST_F(GgufSplitTest, MissingPartsAreNamed) {
  Write("m-00001-of-00002.gguf", Part(0, 2));
  const std::string message = Message(Path("m-00001-of-00002.gguf"));
  EXPECT_THAT(message, HasSubstr("part 2 of 2"));
  EXPECT_THAT(message, HasSubstr("m-00002-of-00002.gguf"));
}

TEST_F(GgufSplitTest, RenamedFirstPartsAreErrors) {
  Write("model.gguf", Part(0, 2));
  EXPECT_THAT(Message(Path("model.gguf")),
              HasSubstr("expected a name like NAME-00001-of-00002.gguf"));
}

TEST_F(GgufSplitTest, PartsOfAnotherModelAreErrors) {
  Write("m-00001-of-00002.gguf", Part(0, 2));
  Write("m-00002-of-00002.gguf", Part(1, 3));
  EXPECT_THAT(Message(directory_),
              HasSubstr("expected part 2 of 2, got part 2 of 3"));
}

TEST_F(GgufSplitTest, MissingTensorsAreErrors) {
  GgufWriter first = Part(0, 2);
  first.Floats("output.weight", {1, 1}, {0});
  Write("m-00001-of-00002.gguf", first);
  Write("m-00002-of-00002.gguf", Part(1, 2));
  EXPECT_THAT(Message(directory_),
              HasSubstr("expected 2 tensors in all parts, got 3"));
}

TEST_F(GgufSplitTest, HugeCountsAreErrors) {
  Write("m-00001-of-00002.gguf", Part(0, 1 << 30));
  EXPECT_THAT(Message(Path("m-00001-of-00002.gguf")),
              HasSubstr("parts, the limit is"));
}

TEST_F(GgufSplitTest, SeveralModelsInAFolderAreErrors) {
  Write("m-00001-of-00002.gguf", Part(0, 2));
  Write("m-00002-of-00002.gguf", Part(1, 2));
  Write("other.gguf", Part(0, 1));
  EXPECT_THAT(Message(directory_),
              HasSubstr("expected one checkpoint, found 2"));
}

}  // namespace
}  // namespace rwkvd
