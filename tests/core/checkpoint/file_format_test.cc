// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/file_format.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/tiny_checkpoint.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const MappedFile> FileOf(const std::string& bytes,
                                         const std::string& name = "m.bin") {
  const std::string path = testing::MakeTempDirectory() + "/" + name;
  testing::WriteFileOrDie(path, bytes);
  auto file = MappedFile::Open(path);
  RWKVD_CHECK(file.ok());
  return *file;
}

std::string FormatError(const std::string& bytes) {
  const auto tensors = ParseTensors(*FileOf(bytes));
  EXPECT_EQ(tensors.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tensors.status().message()), HasSubstr("/m.bin: "));
  return std::string(tensors.status().message());
}

const testing::TestTensors& Written() {
  static const auto* const tensors =
      new testing::TestTensors{{"w", {.shape = {2}, .values = {1, -2}}}};
  return *tensors;
}

void ExpectReads(const std::string& bytes, const std::string& name) {
  const auto file = FileOf(bytes, name);
  const auto tensors = ParseTensors(*file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ(ToFloat(tensors->at(0)), Written().at("w").values);
}

TEST(FileFormatTest, FormatIsRecognizedByContentNotByName) {
  for (const std::string name :
       {"m.safetensors", "m.st", "m.pth", "m.pt", "m.bin", "m", "m.gguf"}) {
    ExpectReads(testing::SafetensorsBytes(Written()), name);
    ExpectReads(testing::PthBytes(Written()), name);
    ExpectReads(testing::PthBytes(Written(), {.legacy = true}), name);
  }
}

// The length of a safetensors header may begin like any other format.
TEST(FileFormatTest, LengthThatResemblesAMagicNumberIsSafetensors) {
  const std::string small = testing::SafetensorsBytes(Written());
  const auto length_of = [](const std::string& bytes) {
    return static_cast<uint8_t>(bytes[0]) +
           256 * static_cast<uint8_t>(bytes[1]);
  };
  // 1f 8b begins a gzip file, 80 02 28 a pickle whose first opcode is a mark.
  for (const int length : {0x8b1f, 0x280280}) {
    ExpectReads(testing::SafetensorsBytes(Written(), length - length_of(small)),
                "m");
  }
}

TEST(FileFormatTest, OtherFormatsAreNamedInTheError) {
  const std::string rest(600, '\xf0');
  const std::pair<std::string, const char*> foreign[] = {
      {"\x1f\x8b\x08", "a gzip file"},
      {"BZh9", "a bzip2 file"},
      {"\x28\xb5\x2f\xfd", "a zstd file"},
      {std::string("\xfd\x37zXZ\0", 6), "an xz file"},
      {"7z\xbc\xaf\x27\x1c", "a 7z archive"},
      {"Rar!\x1a\x07\x01", "a RAR archive"},
      {std::string("GGUF\3\0\0\0", 8), "a GGUF file, which cannot be a shard"},
      {std::string("fmgg\x65\0\0\0", 8), "a file of rwkv.cpp"},
      {"lmgg", "a ggml file"},
      {"tjgg", "a ggjt file"},
      {"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"},
      {"\x89HDF\r\n\x1a\n", "an HDF5 file"},
      {std::string("\x93NUMPY\1\0", 8), "a NumPy file"},
      {"PK\5\6", "an empty zip archive"},
      {std::string(257, '\0') + "ustar", "a tar archive"},
      {"<!DOCTYPE html><html lang=en>", "a web page"},
      {"\n  <html><head>", "a web page"},
      {"\xEF\xBB\xBF<!DOCTYPE html>", "a web page"},
      {"import torch\n", "a text that begins with \"import torch\\n"},
      {"Access to this model is restricted.", "the download may have failed"},
      {"<?xml version=\"1.0\"?><Error>", "an XML text"},
      {std::string("\0\5\x16\7\0\2\0\0Mac OS X", 16), "AppleDouble"},
      {std::string(512, '\0'), "a file that begins with zeros"},
      {"\x80\4\x95", "a Python pickle that torch.save did not write"},
      {"\x80\2}q\1", "a Python pickle that torch.save did not write"},
  };
  for (const auto& [head, description] : foreign) {
    EXPECT_THAT(
        FormatError(head + rest),
        HasSubstr("expected a safetensors or PyTorch checkpoint, got "));
    EXPECT_THAT(FormatError(head + rest), HasSubstr(description));
  }
}

TEST(FileFormatTest, EmptyFilesAndShortTextsAreNamedInTheError) {
  EXPECT_THAT(FormatError(""), HasSubstr("an empty file"));
  EXPECT_THAT(FormatError("404"), HasSubstr("a text that begins with \"404\""));
}

TEST(FileFormatTest, UnknownFormatIsNotASafetensorsFile) {
  EXPECT_THAT(FormatError("\xab"), HasSubstr("not a safetensors file"));
  EXPECT_THAT(FormatError(std::string(100, '\xab')),
              HasSubstr("not a safetensors file"));
}

TEST(FileFormatTest, ZipArchiveWithoutPickleIsRejected) {
  testing::ZipWriter zip;
  zip.Add("word/document.xml", "<w:document>");
  EXPECT_THAT(FormatError(zip.Finish()),
              HasSubstr("torch.save did not write this file"));
}

TEST(FileFormatTest, ShardIndexIsRecognizedAsJson) {
  EXPECT_TRUE(IsShardIndex(*FileOf("{\"weight_map\": {}}")));
  EXPECT_TRUE(IsShardIndex(*FileOf("\n { \"weight_map\": {}}")));
  EXPECT_TRUE(IsShardIndex(*FileOf("", "m.safetensors.index.json")));
  EXPECT_FALSE(IsShardIndex(*FileOf("")));
  EXPECT_FALSE(IsShardIndex(*FileOf("[\"weight_map\"]")));
  EXPECT_FALSE(IsShardIndex(*FileOf(testing::PthBytes(Written()))));
  EXPECT_FALSE(IsShardIndex(*FileOf(testing::SafetensorsBytes(Written()))));
}

// The length 7b 20 20 20 is the text "{   ".
TEST(FileFormatTest, LengthThatResemblesJsonIsSafetensors) {
  EXPECT_FALSE(IsShardIndex(
      *FileOf(std::string("{   \0\0\0\0{\"w\"", 12) + std::string(50, ' '))));
}

}  // namespace
}  // namespace rwkvd
