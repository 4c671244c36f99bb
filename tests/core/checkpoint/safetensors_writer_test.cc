// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/safetensors_writer.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using Entry = SafetensorsWriter::Entry;

// The data of the tensors. Adjacent bytes differ.
std::vector<std::byte> SomeData(const std::vector<Entry>& entries) {
  int64_t size = 0;
  for (const Entry& entry : entries) size += entry.num_bytes();
  std::vector<std::byte> data(size);
  for (int64_t i = 0; i < size; ++i) data[i] = std::byte(i * 7 % 251);
  return data;
}

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  absl::Status Write(const std::vector<Entry>& entries, size_t chunk) {
    const std::vector<std::byte> data = SomeData(entries);
    auto writer = SafetensorsWriter::Create(path_, entries);
    if (!writer.ok()) return writer.status();
    for (size_t i = 0; i < data.size(); i += chunk) {
      const absl::Status status =
          (*writer)->Append(absl::MakeConstSpan(data).subspan(i, chunk));
      if (!status.ok()) return status;
    }
    return (*writer)->Finish();
  }

  // Checks that reading the file returns what was written.
  void ExpectHolds(const std::vector<Entry>& entries) {
    const auto file = MappedFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto tensors = ParseSafetensors(**file);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    ASSERT_EQ(tensors->size(), entries.size());
    const std::vector<std::byte> data = SomeData(entries);
    size_t begin = 0;
    for (const Entry& entry : entries) {
      const auto tensor =
          std::find_if(tensors->begin(), tensors->end(),
                       [&](const Tensor& t) { return t.name == entry.name; });
      ASSERT_NE(tensor, tensors->end()) << entry.name;
      EXPECT_EQ(tensor->dtype, entry.dtype);
      EXPECT_EQ(tensor->shape, entry.shape);
      const size_t size = entry.num_bytes();
      EXPECT_EQ(tensor->data, absl::MakeConstSpan(data).subspan(begin, size));
      begin += size;
    }
  }

  std::string Message(const std::vector<Entry>& entries) {
    return std::string(Write(entries, 1 << 20).message());
  }

  const std::string directory_ = testing::MakeTempDirectory();
  const std::string path_ = directory_ + "/m.safetensors";
};

TEST_F(SafetensorsWriterTest, TensorsWrittenInAnyChunksAreReadBack) {
  const std::vector<Entry> entries = {{"matrix", DType::kBF16, {5, 7}},
                                      {"none", DType::kF32, {0, 3}},
                                      {"scalar", DType::kF16, {}},
                                      {"a", DType::kF32, {1, 1, 9}}};
  for (size_t chunk : {1, 3, 64, 1000}) {
    ASSERT_TRUE(Write(entries, chunk).ok());
    ExpectHolds(entries);
    ASSERT_EQ(remove(path_.c_str()), 0);
  }
}

TEST_F(SafetensorsWriterTest, WritesAFileWithoutTensors) {
  ASSERT_TRUE(Write({}, 1).ok());
  ExpectHolds({});
}

TEST_F(SafetensorsWriterTest, DataBeginsAtAMultipleOf64) {
  for (int length = 1; length < 70; ++length) {
    ASSERT_TRUE(Write({{std::string(length, 'x'), DType::kF32, {3}}}, 99).ok());
    EXPECT_EQ((testing::ReadFileOrDie(path_).size() - 12) % 64, 0u);
    ASSERT_EQ(remove(path_.c_str()), 0);
  }
}

TEST_F(SafetensorsWriterTest, HeaderHasTheMetadataOfHubFiles) {
  ASSERT_TRUE(
      Write({{"b", DType::kF16, {2}}, {"a", DType::kF32, {1}}}, 9).ok());
  EXPECT_THAT(testing::ReadFileOrDie(path_).substr(8),
              ::testing::StartsWith(
                  R"({"__metadata__":{"format":"pt"},)"
                  R"("b":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
                  R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}} )"));
}

TEST_F(SafetensorsWriterTest, NamesMayHoldAnyCharacters) {
  const std::vector<Entry> entries = {
      {"\"quoted\\\"", DType::kF32, {1}},
      {"two\nlines\x01", DType::kF32, {1}},
      {"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", DType::kF32, {1}},
      {"", DType::kF32, {1}},
  };
  ASSERT_TRUE(Write(entries, 99).ok());
  ExpectHolds(entries);
}

TEST_F(SafetensorsWriterTest, InvalidNamesAreRejected) {
  EXPECT_THAT(Message({{"a", DType::kF32, {1}}, {"a", DType::kF16, {2}}}),
              HasSubstr("tensor \"a\": cannot be stored: its name is reserved "
                        "or used twice"));
  EXPECT_THAT(Message({{"__metadata__", DType::kF32, {1}}}),
              HasSubstr("\"__metadata__\""));
  EXPECT_THAT(
      Message({{"bad\xff", DType::kF32, {1}}}),
      HasSubstr("\"bad\\xff\": cannot be stored: its name is not valid UTF-8"));
  EXPECT_THAT(Message({{std::string(100'000'000, 'x'), DType::kF32, {1}}}),
              HasSubstr("exceed the format's limit of 100000000"));
  EXPECT_FALSE(MappedFile::Open(path_).ok());
}

TEST_F(SafetensorsWriterTest, ExistingFileIsNotOverwritten) {
  testing::WriteFileOrDie(path_, "precious");
  EXPECT_EQ(Write({{"a", DType::kF32, {1}}}, 9).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(testing::ReadFileOrDie(path_), "precious");
}

TEST_F(SafetensorsWriterTest, MissingDirectoryIsNamedInTheError) {
  const auto writer =
      SafetensorsWriter::Create(directory_ + "/absent/m.safetensors", {});
  EXPECT_EQ(writer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(writer.status().message()),
              HasSubstr("/absent/m.safetensors"));
}

TEST_F(SafetensorsWriterTest, InsufficientDiskSpaceIsDetectedAtOnce) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1 << 16, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto writer =
      SafetensorsWriter::Create(path_, {{{"a", DType::kF32, {1 << 20}}}});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(writer.ok());
  EXPECT_THAT(std::string(writer.status().message()),
              HasSubstr("cannot reserve 4194"));
  EXPECT_THAT(std::string(writer.status().message()), HasSubstr(path_));
}

}  // namespace
}  // namespace rwkvd
