// SPDX-License-Identifier: Apache-2.0
// Reads GGUF files that llama.cpp wrote, and compares every tensor with hashes
// that other programs computed.
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/sha256.h"
#include "core/checkpoint/tensor_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

using nlohmann::json;
using ::testing::HasSubstr;

std::string Folder() { return testing::FormatFixturesDirectory() + "/gguf"; }

// The hashes of the elements, as they are and with zeros made positive.
std::vector<std::string> HashesOf(const Tensor& tensor) {
  std::vector<float> values = ToFloat(tensor);
  std::vector<std::string> hashes;
  for (const bool positive_zeros : {false, true}) {
    if (positive_zeros) {
      for (float& value : values) value += 0.0f;
    }
    Sha256 digest;
    digest.Update(
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()),
                            values.size() * sizeof(float)));
    hashes.push_back(digest.Hex());
  }
  return hashes;
}

TEST(GgufFixturesTest, EveryTensorHasItsNameShapeAndValues) {
  RWKVD_NEED_FORMAT_FIXTURES();
  int num_files = 0;
  for (const auto& entry : fs::directory_iterator(Folder() + "/models")) {
    SCOPED_TRACE(entry.path().string());
    const auto file = TensorFile::Open(entry.path().string());
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->layout(), Layout::kGguf);
    const std::string name =
        absl::StrReplaceAll(entry.path().filename().string(),
                            {{".gguf", ""}, {"-split", ".split"}});
    const json reference = json::parse(testing::ReadFileOrDie(
        absl::StrCat(Folder(), "/refs/", name, ".tensors.json")));
    size_t num_tensors = 0;
    for (const json& stored : reference) {
      for (const json& native : stored["native"]) {
        const Tensor* const tensor =
            (*file)->Find(native["name"].get<std::string>());
        ASSERT_NE(tensor, nullptr) << native;
        EXPECT_EQ(tensor->shape, native["shape"].get<std::vector<int64_t>>())
            << native;
        const std::vector<std::string> hashes = HashesOf(*tensor);
        EXPECT_TRUE(hashes[0] == native["sha256_f32"] ||
                    hashes[1] == native["sha256_f32_plus_zero"])
            << native;
        ++num_tensors;
      }
    }
    EXPECT_EQ((*file)->tensors().size(), num_tensors);
    ++num_files;
  }
  EXPECT_GE(num_files, 16);
}

TEST(GgufFixturesTest, SplitFilesEqualTheWholeOne) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const auto whole = TensorFile::Open(Folder() + "/models/v7.Q4_K_M.gguf");
  const auto split = TensorFile::Open(Folder() + "/models/v7-split");
  ASSERT_TRUE(whole.ok() && split.ok());
  EXPECT_EQ((*split)->num_files(), 3);
  EXPECT_EQ((*split)->Fingerprint(), (*whole)->Fingerprint());
}

TEST(GgufFixturesTest, BadFilesAreRefusedWithTheReason) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const std::pair<const char*, const char*> kReasons[] = {
      {"arch-llama", "got \"llama\""},
      {"arch-rwkv6qwen2", "a hybrid of RWKV and Qwen"},
      {"missing-tensors", "block_count"},
      {"truncated", "it may be truncated"},
      {"truncated-header", "it may be truncated"},
      {"version-1", "got 1"},
      {"big-endian", "big-endian"},
      {"huge-count", "the limit is"},
      {"huge-string", "the limit is"},
  };
  for (const auto& [name, reason] : kReasons) {
    const auto file =
        TensorFile::Open(absl::StrCat(Folder(), "/refuse/", name, ".gguf"));
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(reason))
        << name;
  }
}

}  // namespace
}  // namespace rwkvd
