// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/gguf_writer.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using testing::GgufString;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::LittleEndian;
using ::testing::Optional;

constexpr uint32_t kI8 = 1, kI64 = 11, kF64 = 12, kArray = 9, kBool = 7;
constexpr uint32_t kQ8_0Number = 8, kMxfp4Number = 39;

// Two tensors and some keys, in three pages of 32 bytes of data.
GgufWriter Small() {
  GgufWriter writer;
  writer.Text("general.architecture", "rwkv7")
      .U32("count", 7)
      .F32("ratio", .5f)
      .Texts("words", {"a", "", "\xff"})
      .I32s("numbers", {1, -1});
  writer.Floats("first", {3, 2}, {1, 2, 3, 4, 5, 6});
  writer.Tensor("second", {32}, kQ8_0Number, std::string(34, '\1'));
  return writer;
}

// A parsed file, with the bytes that it views.
struct Parsed {
  std::shared_ptr<const MappedFile> file;
  absl::StatusOr<Gguf> gguf;
};

Parsed ParsedGguf(const std::string& bytes) {
  const std::string path = testing::MakeTempDirectory() + "/m.gguf";
  testing::WriteFileOrDie(path, bytes);
  auto file = MappedFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return {*file, ParseGguf(**file)};
}

std::string GgufError(const std::string& bytes) {
  const Parsed parsed = ParsedGguf(bytes);
  EXPECT_FALSE(parsed.gguf.ok());
  EXPECT_EQ(parsed.gguf.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(parsed.gguf.status().message());
}

TEST(GgufTest, ReadsTensorsWithReversedDimensions) {
  const Parsed parsed = ParsedGguf(Small().Bytes());
  ASSERT_TRUE(parsed.gguf.ok()) << parsed.gguf.status();
  const std::vector<Tensor>& tensors = parsed.gguf->tensors;
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "first");
  EXPECT_THAT(tensors[0].shape, ElementsAre(2, 3));
  EXPECT_THAT(ToFloat(tensors[0]), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(tensors[1].dtype, DType::kQ8_0);
  EXPECT_EQ(tensors[1].data.size(), 34u);
  EXPECT_EQ(tensors[1].data[0], std::byte{1});
}

TEST(GgufTest, ReadsVersion2) {
  GgufWriter writer = Small();
  writer.version = 2;
  EXPECT_TRUE(ParsedGguf(writer.Bytes()).gguf.ok());
}

TEST(GgufTest, ReadsValuesByType) {
  GgufWriter writer = Small();
  writer.Key("negative", kI8, "\xff").Key("long", kI64, LittleEndian(5, 8));
  writer.Key("double", kF64, LittleEndian(0x3fd0000000000000, 8));
  writer.Key("unsigned", kArray,
             LittleEndian(4, 4) + LittleEndian(1, 8) + LittleEndian(5, 4));
  const Parsed parsed = ParsedGguf(writer.Bytes());
  ASSERT_TRUE(parsed.gguf.ok()) << parsed.gguf.status();
  const GgufValues& values = parsed.gguf->values;
  EXPECT_THAT(values.Text("general.architecture").value(),
              Optional(absl::string_view("rwkv7")));
  EXPECT_THAT(values.Integer("count").value(), Optional(7));
  EXPECT_THAT(values.Integer("long").value(), Optional(5));
  EXPECT_THAT(values.Real("ratio").value(), Optional(.5));
  EXPECT_THAT(values.Real("double").value(), Optional(.25));
  EXPECT_THAT(values.Texts("words").value(), ElementsAre("a", "", "\xff"));
  EXPECT_THAT(values.Integers("numbers").value(), ElementsAre(1, -1));
  EXPECT_THAT(values.Integers("unsigned").value(), ElementsAre(5));
  EXPECT_EQ(values.Text("absent").value(), std::nullopt);
  EXPECT_TRUE(values.Texts("absent")->empty());
  EXPECT_FALSE(values.Integer("negative").ok());
}

TEST(GgufTest, ValuesOfOtherTypesAreErrors) {
  const Parsed parsed = ParsedGguf(Small().Bytes());
  ASSERT_TRUE(parsed.gguf.ok()) << parsed.gguf.status();
  const GgufValues& values = parsed.gguf->values;
  EXPECT_THAT(std::string(values.Text("count").status().message()),
              HasSubstr("key \"count\": expected a string, got an integer"));
  EXPECT_THAT(std::string(values.Integer("words").status().message()),
              HasSubstr("expected an integer, got an array of strings"));
  EXPECT_FALSE(values.Real("count").ok());
  EXPECT_FALSE(values.Texts("numbers").ok());
  EXPECT_FALSE(values.Integers("words").ok());
}

TEST(GgufTest, DataMayHaveAnotherAlignment) {
  for (uint32_t alignment : {1, 64, 4096}) {
    GgufWriter writer = Small();
    writer.U32("general.alignment", alignment);
    writer.alignment = alignment;
    const Parsed parsed = ParsedGguf(writer.Bytes());
    ASSERT_TRUE(parsed.gguf.ok()) << parsed.gguf.status();
    EXPECT_THAT(ToFloat(parsed.gguf->tensors[0]),
                ElementsAre(1, 2, 3, 4, 5, 6));
  }
}

TEST(GgufTest, EveryTruncationIsAnError) {
  const std::string bytes = Small().Bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(GgufError(bytes.substr(0, size)), HasSubstr("m.gguf")) << size;
  }
}

TEST(GgufTest, BigEndianAndOldFilesAreNamed) {
  GgufWriter writer = Small();
  writer.version = 3u << 24;
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("big-endian"));
  writer.version = 1;
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("expected GGUF version 2 or 3, got 1"));
}

TEST(GgufTest, CountsAreLimited) {
  GgufWriter writer = Small();
  writer.extra_tensors = int64_t{1} << 60;
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("tensors, the limit is"));
  writer.extra_tensors = 0;
  writer.extra_keys = int64_t{1} << 60;
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("keys, the limit is"));
  writer.extra_keys = 0;
  writer.Key("big", kArray, LittleEndian(0, 4) + LittleEndian(1ull << 62, 8));
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("key \"big\": the file ends"));
}

TEST(GgufTest, StringsAreLimited) {
  GgufWriter writer;
  writer.Text(std::string(70000, 'k'), "");
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("limit is 65535"));
  writer = GgufWriter();
  writer.Floats(std::string(65, 'n'), {1}, {0});
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("tensor \"0 of 1\": the string at byte 24 has 65"));
  writer = GgufWriter();
  writer.Key("text", 8, LittleEndian(1ull << 62, 8));
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("key \"text\": the file ends"));
}

TEST(GgufTest, BadValuesAreErrors) {
  GgufWriter writer;
  writer.Key("odd", 13, "");
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("key \"odd\": expected a type"));
  writer = GgufWriter();
  writer.Key("nested", kArray, LittleEndian(kArray, 4) + LittleEndian(1, 8));
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("elements of type 9"));
  writer = GgufWriter();
  writer.U32("twice", 1).Key("twice", kBool, "\1");
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("key \"twice\": is there twice"));
}

TEST(GgufTest, BadAlignmentsAreErrors) {
  for (uint32_t alignment : {0u, 3u, 1u << 21}) {
    GgufWriter writer = Small();
    writer.U32("general.alignment", alignment);
    EXPECT_THAT(GgufError(writer.Bytes()),
                HasSubstr("expected a power of two"));
  }
}

TEST(GgufTest, BadShapesAreErrors) {
  GgufWriter writer;
  writer.Floats("t", {}, {});
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("1 to 4 dimensions, got 0"));
  writer = GgufWriter();
  writer.Floats("t", {1, 1, 1, 1, 1}, {0});
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("1 to 4 dimensions, got 5"));
  writer = GgufWriter();
  writer.Floats("t", {0}, {});
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("tensor \"t\": expected dim"));
  writer = GgufWriter();
  writer.Floats("t", {1ull << 32, 1ull << 32}, {});
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("at most 2^56 elements"));
  writer = GgufWriter();
  writer.Tensor("t", {48}, kQ8_0Number, std::string(68, '\0'));
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("rows of Q8_0 expected a multiple of 32 elements"));
}

TEST(GgufTest, UnsupportedTypesAreNamed) {
  GgufWriter writer;
  writer.Tensor("t", {32}, kMxfp4Number, std::string(17, '\0'));
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("tensor \"t\": has the type MXFP4 (39), which is not"));
  writer = GgufWriter();
  writer.Tensor("t", {32}, 1000, std::string(17, '\0'));
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("type unknown (1000)"));
}

TEST(GgufTest, BadPositionsAreErrors) {
  GgufWriter writer = Small();
  writer.first_offset = 8;
  EXPECT_THAT(
      GgufError(writer.Bytes()),
      HasSubstr("tensor \"first\": expected an offset that is a multi"));
  writer.first_offset = 1 << 20;
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("it may be truncated"));
  writer.first_offset = -32;
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("it may be truncated"));
  writer.first_offset = 0;
  writer.second_offset = -32;
  EXPECT_THAT(GgufError(writer.Bytes()), HasSubstr("overlaps with tensor"));
}

TEST(GgufTest, NamesMustDiffer) {
  GgufWriter writer = Small();
  writer.Floats("first", {1}, {0});
  EXPECT_THAT(GgufError(writer.Bytes()),
              HasSubstr("tensor \"first\": is there twice"));
}

}  // namespace
}  // namespace rwkvd
