// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/safetensors.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Length(uint64_t n) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(n >> (8 * i));
  return bytes;
}

// A file with the given header, followed by `data_bytes` zeros.
std::string FileBytes(const std::string& header, size_t data_bytes) {
  return Length(header.size()) + header + std::string(data_bytes, '\0');
}

absl::StatusOr<std::vector<Tensor>> TensorsOfSafetensors(
    const std::string& bytes) {
  const std::string path = testing::MakeTempDirectory() + "/m.safetensors";
  testing::WriteFileOrDie(path, bytes);
  auto file = MappedFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  static auto* const kept = new std::vector<std::shared_ptr<const MappedFile>>;
  kept->push_back(*file);  // as the tensors view it
  return ParseSafetensors(**file);
}

TEST(SafetensorsTest, ReadsNamesTypesShapesAndData) {
  const auto tensors = TensorsOfSafetensors(
      FileBytes(R"({"b":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},)"
                R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                R"("__metadata__":{"format":"pt"}})",
                14));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].dtype, DType::kF32);
  EXPECT_THAT((*tensors)[0].shape, ElementsAre(1, 2));
  EXPECT_EQ((*tensors)[0].data.size(), 8u);
  EXPECT_EQ((*tensors)[1].dtype, DType::kF16);
  EXPECT_EQ((*tensors)[1].data.data(), (*tensors)[0].data.data() + 8);
}

TEST(SafetensorsTest, ReadsScalarsAndEmptyTensors) {
  const auto tensors = TensorsOfSafetensors(
      FileBytes(R"({"none":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},)"
                R"("one":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})",
                2));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ((*tensors)[0].num_elements(), 0);
  EXPECT_EQ((*tensors)[1].num_elements(), 1);
}

TEST(SafetensorsTest, ReadsValuesFromMisalignedData) {
  testing::TestTensors written;
  written["odd"] = {.shape = {3}, .dtype = DType::kF32, .values = {1, -2, .5f}};
  for (int padding = 0; padding < 4; ++padding) {
    const auto tensors =
        TensorsOfSafetensors(testing::SafetensorsBytes(written, padding));
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    EXPECT_EQ(ToFloat(tensors->at(0)), written["odd"].values);
  }
}

struct BadFile {
  const char* name;
  std::string bytes;
  const char* message;
};

std::string HeaderEntry(const std::string& entry, size_t data_bytes) {
  return FileBytes(absl::StrCat("{\"w\":", entry, "}"), data_bytes);
}

std::vector<BadFile> BadFiles() {
  const std::string two =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[$0,$1]}})";
  const auto second = [&](int begin, int end) {
    return absl::StrReplaceAll(
        two, {{"$0", absl::StrCat(begin)}, {"$1", absl::StrCat(end)}});
  };
  return {
      {"Empty", "", "expected at least 8 bytes, got 0"},
      {"SevenBytes", std::string(7, 'x'), "expected at least 8 bytes, got 7"},
      {"Random", "\x93\x1f\xa0\xf7 some other file",
       "truncated: expected a header of"},
      {"HeaderLongerThanFile", Length(100) + "{}",
       "expected a header of 100 bytes, the number in the first 8 bytes; got "
       "2"},
      {"HeaderLengthOverflows", Length(~uint64_t{0}) + "{}",
       "expected a header of 18446744073709551615 bytes"},
      {"HeaderNotJson", FileBytes("{\"a\":", 0), "header"},
      {"HeaderNotObject", FileBytes("[1]", 0), "expected a JSON object"},
      {"NestedDeeply", FileBytes(std::string(100000, '['), 0), "header"},
      {"DuplicateName",
       FileBytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                 8),
       "header"},
      {"EntryNotObject", HeaderEntry("7", 0),
       "tensor \"w\": expected an object"},
      {"NoDType", HeaderEntry(R"({"shape":[1],"data_offsets":[0,4]})", 4),
       "expected a string \"dtype\""},
      {"UnknownDType",
       HeaderEntry(R"({"dtype":"F4","shape":[1],"data_offsets":[0,4]})", 4),
       "expected dtype F32, F16, BF16 or U8, got \"F4\""},
      {"UnsupportedName",
       FileBytes(
           R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
           R"("b.qweight":{"dtype":"I32","shape":[1],"data_offsets":[4,8]}})",
           8),
       "tensor \"b.qweight\": is not supported"},
      {"NoShape", HeaderEntry(R"({"dtype":"F32","data_offsets":[0,4]})", 4),
       "expected an array \"shape\""},
      {"NegativeShape",
       HeaderEntry(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", 4),
       "expected whole numbers"},
      {"FractionalShape",
       HeaderEntry(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})", 4),
       "expected whole numbers"},
      {"ShapeOverflows",
       HeaderEntry(R"({"dtype":"F32","shape":[4294967296,4294967296],)"
                   R"("data_offsets":[0,4]})",
                   4),
       "takes more than 2^62 bytes"},
      {"ShapeWrapsToZero",
       HeaderEntry(R"({"dtype":"F32","shape":[4611686018427387904],)"
                   R"("data_offsets":[0,0]})",
                   0),
       "takes more than 2^62 bytes"},
      {"ShapeOverflowsAfterAnEmptyDimension",
       HeaderEntry(R"({"dtype":"F32","shape":[0,4294967296,4294967296],)"
                   R"("data_offsets":[0,0]})",
                   0),
       "takes more than 2^62 bytes"},
      {"TooManyDimensions",
       HeaderEntry(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],)"
                   R"("data_offsets":[0,4]})",
                   4),
       "expected at most 8 dimensions, got 9"},
      {"ShapeDisagreesWithBytes",
       HeaderEntry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4),
       "shape [2] of F32 takes 8 bytes, but data_offsets [0, 4) span 4"},
      {"NoOffsets", HeaderEntry(R"({"dtype":"F32","shape":[1]})", 4),
       "expected \"data_offsets\" of two whole numbers"},
      {"OffsetsReversed",
       HeaderEntry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", 4),
       "data_offsets begin at 4, after their end at 0"},
      {"OffsetsBeyondFile",
       HeaderEntry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 7),
       "data_offsets end at byte 8, but the file has 7 bytes of data"},
      {"Overlap", FileBytes(second(4, 12), 12), "(they overlap)"},
      {"SameData", FileBytes(second(0, 8), 8), "(they overlap)"},
      {"Gap", FileBytes(second(12, 20), 20), "(there is a gap)"},
      {"TrailingBytes", FileBytes(second(8, 16), 17),
       "the last tensor ends at byte 16 of the data, but the file has 17 "
       "bytes"},
  };
}

class BadSafetensorsTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensorsTest, IsRejectedWithFileAndReason) {
  const auto tensors = TensorsOfSafetensors(GetParam().bytes);
  ASSERT_FALSE(tensors.ok());
  EXPECT_EQ(tensors.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tensors.status().message()),
              HasSubstr("/m.safetensors: "));
  EXPECT_THAT(std::string(tensors.status().message()),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, BadSafetensorsTest,
                         ::testing::ValuesIn(BadFiles()), [](const auto& info) {
                           return std::string(info.param.name);
                         });

// Whatever byte of a small file is changed or missing, the result is tensors or
// an error, never a crash. Sanitizers run this test too.
TEST(SafetensorsTest, EveryTruncationIsRejected) {
  testing::TestTensors written;
  written["a"] = {.shape = {2}, .dtype = DType::kBF16, .values = {1, 2}};
  written["b"] = {.shape = {2, 1}, .dtype = DType::kF32, .values = {3, 4}};
  const std::string whole = testing::SafetensorsBytes(written);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(TensorsOfSafetensors(whole.substr(0, size)).ok()) << size;
  }
  EXPECT_TRUE(TensorsOfSafetensors(whole).ok());
}

TEST(SafetensorsTest, EveryChangedByteIsHandled) {
  testing::TestTensors written;
  written["a"] = {.shape = {2}, .dtype = DType::kBF16, .values = {1, 2}};
  const std::string whole = testing::SafetensorsBytes(written);
  for (size_t i = 0; i < whole.size(); ++i) {
    for (char flip : {1, 4, 16, -128}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      const auto tensors = TensorsOfSafetensors(bytes);
      if (!tensors.ok()) continue;
      for (const Tensor& tensor : *tensors) ToFloat(tensor);
    }
  }
}

}  // namespace
}  // namespace rwkvd
