// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/verify_files.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/sha256.h"
#include "core/checkpoint/release_manifest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

testing::TestTensors LargeTensors() {
  testing::TestTensors tensors;
  for (int i = 0; i < 5; ++i) {
    tensors[absl::StrCat("t", i)] = {.shape = {2, 300},
                                     .values = std::vector<float>(600, i + 1)};
  }
  return tensors;
}

absl::Status NoProgress(int64_t, int64_t) { return absl::OkStatus(); }

class VerifyFilesTest : public ::testing::Test {
 protected:
  absl::StatusOr<VerifiedFiles> Run(const std::string& path) {
    const auto file = TensorFile::Open(path);
    if (!file.ok()) return file.status();
    return VerifyFiles(**file, pool_, &NoProgress);
  }
  std::string ErrorOf(const std::string& path) {
    const auto verified = Run(path);
    EXPECT_EQ(verified.status().code(), absl::StatusCode::kDataLoss)
        << verified.status();
    return std::string(verified.status().message());
  }
  std::string Path(const std::string& name) { return directory_ + "/" + name; }
  // Changes the byte at `position`; negative positions count from the end.
  void Damage(const std::string& path, int64_t position) {
    std::string bytes = testing::ReadFileOrDie(path);
    if (position < 0) position += static_cast<int64_t>(bytes.size());
    bytes[position] ^= 1;
    testing::WriteFileOrDie(path, bytes);
  }
  // Writes a manifest of the files in the directory.
  void WriteManifest() {
    std::vector<std::string> entries;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      const std::string bytes = testing::ReadFileOrDie(entry.path());
      Sha256 digest;
      digest.Update(
          {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
      entries.push_back(absl::StrCat(
          "\"", entry.path().filename().string(), "\": {\"sha256\": \"",
          digest.Hex(), "\", \"size_bytes\": ", bytes.size(), "}"));
    }
    // Files of a release that are not needed to serve it.
    for (const char* name : {"LICENSE", "inference/model.py", "../x"}) {
      entries.push_back(absl::StrCat("\"", name, "\": {\"sha256\": \"",
                                     std::string(64, '0'), "\"}"));
    }
    testing::WriteFileOrDie(Path("release-manifest.json"),
                            absl::StrCat("{\"schema_version\": 8, \"files\": {",
                                         absl::StrJoin(entries, ", "), "}}"));
  }

  ThreadPool pool_{3};
  const std::string directory_ = testing::MakeTempDirectory();
};

TEST_F(VerifyFilesTest, ReleaseIsComparedWithItsManifest) {
  testing::WriteCheckpoint(directory_, LargeTensors(), 3);
  testing::WriteFileOrDie(Path("config.json"), "{}");
  testing::WriteFileOrDie(Path("README.md"), "x");
  WriteManifest();
  testing::WriteFileOrDie(Path("README.md"), "changed, which is no matter");
  const auto verified = Run(directory_);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->num_digests, 5);  // shards, index and config.json
  EXPECT_EQ(verified->num_checksums, 0);
  EXPECT_THAT(verified->unverified, IsEmpty());
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    const std::string name = entry.path().filename();
    if (name != "README.md" && name != "release-manifest.json") {
      bytes += static_cast<int64_t>(entry.file_size());
    }
  }
  EXPECT_EQ(verified->num_bytes, bytes);
}

TEST_F(VerifyFilesTest, DamagedWeightsOfAReleaseAreNamed) {
  testing::WriteCheckpoint(directory_, LargeTensors(), 3);
  WriteManifest();
  Damage(Path("model-2-of-3.safetensors"), -5);
  EXPECT_THAT(ErrorOf(directory_),
              ::testing::AllOf(HasSubstr("/model-2-of-3.safetensors: expected "
                                         "the SHA-256 "),
                               HasSubstr("download the file again")));
}

TEST_F(VerifyFilesTest, DamagedCompanionIsNamed) {
  testing::WriteCheckpoint(directory_, LargeTensors());
  testing::WriteFileOrDie(Path("tokenizer.json"), "{}");
  WriteManifest();
  testing::WriteFileOrDie(Path("tokenizer.json"), "[]");
  EXPECT_THAT(ErrorOf(directory_), HasSubstr("/tokenizer.json: expected the"));
  testing::WriteFileOrDie(Path("tokenizer.json"), "{} ");
  EXPECT_THAT(ErrorOf(directory_),
              HasSubstr("/tokenizer.json: expected 2 bytes according to "
                        "release-manifest.json, got 3"));
  fs::remove(Path("tokenizer.json"));
  EXPECT_TRUE(Run(directory_).ok());
}

TEST_F(VerifyFilesTest, WeightsWithoutAnyChecksumAreReported) {
  testing::WriteFileOrDie(Path("old.pth"),
                          testing::PthBytes(LargeTensors(), {.legacy = true}));
  for (const std::string& path :
       {Path("old.pth"),
        testing::WriteCheckpoint(directory_, LargeTensors())}) {
    const auto verified = Run(path);
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_THAT(verified->unverified, ElementsAre(path));
    EXPECT_EQ(verified->num_bytes, 0);
  }
}

TEST_F(VerifyFilesTest, PthIsComparedWithItsOwnChecksums) {
  testing::WriteFileOrDie(Path("m.pth"), testing::PthBytes(LargeTensors()));
  const auto verified = Run(Path("m.pth"));
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_GE(verified->num_checksums, 6);  // the tensors and data.pkl
  EXPECT_GE(verified->num_bytes, 5 * 600 * 4);
  EXPECT_THAT(verified->unverified, IsEmpty());
}

TEST_F(VerifyFilesTest, DamagedPthIsNamed) {
  const std::string whole = testing::PthBytes(LargeTensors());
  testing::WriteFileOrDie(Path("m.pth"), whole);
  // The value 3 as a float, in the middle of the third tensor.
  const std::string value("\0\0\x40\x40", 4);
  Damage(Path("m.pth"), static_cast<int64_t>(whole.find(value)) + 400);
  const std::string message = ErrorOf(Path("m.pth"));
  EXPECT_THAT(message, HasSubstr("/m.pth: zip entry \"model/data/2\": expected "
                                 "the CRC-32 "));
  EXPECT_THAT(message, HasSubstr("download it again"));
}

// A download that has reserved the space but not got all the data.
TEST_F(VerifyFilesTest, ZerosBehindAGoodHeaderAreFound) {
  testing::WriteCheckpoint(directory_, LargeTensors());
  WriteManifest();
  const std::string path = Path("model.safetensors");
  const auto size = fs::file_size(path);
  fs::resize_file(path, size / 2);
  fs::resize_file(path, size);
  EXPECT_THAT(ErrorOf(directory_), HasSubstr("/model.safetensors: "));
}

TEST_F(VerifyFilesTest, ProgressReachesTheTotalAndCanEndIt) {
  testing::WriteFileOrDie(Path("m.pth"), testing::PthBytes(LargeTensors()));
  const auto file = TensorFile::Open(Path("m.pth"));
  ASSERT_TRUE(file.ok()) << file.status();
  int64_t last = 0, total = 0;
  const auto verified =
      VerifyFiles(**file, pool_, [&](int64_t done, int64_t all) {
        EXPECT_GE(done, last);
        last = done;
        total = all;
        return absl::OkStatus();
      });
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, verified->num_bytes);
  const auto ended = VerifyFiles(**file, pool_, [](int64_t, int64_t) {
    return absl::CancelledError("enough");
  });
  EXPECT_EQ(ended.status(), absl::CancelledError("enough"));
}

TEST(VerifyFilesFixturesTest, OfficialReleaseAgreesWithItsManifest) {
  RWKVD_NEED_FORMAT_FIXTURES();
  const auto file = TensorFile::Open(testing::FormatFixturesDirectory() +
                                     "/hf7-release/model");
  ASSERT_TRUE(file.ok()) << file.status();
  ThreadPool pool(2);
  const auto verified = VerifyFiles(**file, pool, &NoProgress);
  ASSERT_TRUE(verified.ok()) << verified.status();
  // Two shards, their index, and five companions.
  EXPECT_EQ(verified->num_digests, 8);
  EXPECT_THAT(verified->unverified, IsEmpty());
}

std::string ManifestError(const std::string& text) {
  const auto manifest = ParseReleaseManifest(text, "dir/m.json");
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(manifest.status().message()),
              HasSubstr("dir/m.json: "));
  return std::string(manifest.status().message());
}

TEST(ReleaseManifestTest, ReadsDigestsAndSizes) {
  const std::string digest = std::string(63, 'a') + "F";
  const auto manifest = ParseReleaseManifest(
      absl::StrCat(R"({"files": {"a/b": {"sha256": ")", digest,
                   R"(", "size_bytes": 7, "role": "x"}, "c": {"sha256": ")",
                   digest, R"("}}, "other": [1]})"),
      "m.json");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->size(), 2u);
  EXPECT_EQ(manifest->at("a/b").sha256, std::string(63, 'a') + "f");
  EXPECT_EQ(manifest->at("a/b").num_bytes, 7);
  EXPECT_EQ(manifest->at("c").num_bytes, std::nullopt);
}

TEST(ReleaseManifestTest, MalformedOnesAreRejected) {
  ManifestError("");
  ManifestError("{");
  for (const char* text : {"[]", "{}", "1", R"({"files": []})"}) {
    EXPECT_THAT(ManifestError(text), HasSubstr("expected an object \"files\""));
  }
  EXPECT_THAT(ManifestError(R"({"files": {"a": 1}})"),
              HasSubstr("file \"a\": expected an object"));
  EXPECT_THAT(ManifestError(R"({"files": {"a": {}}})"),
              HasSubstr("file \"a\": expected a string \"sha256\""));
  EXPECT_THAT(ManifestError(R"({"files": {"a": {"sha256": "12"}}})"),
              HasSubstr("expected 64 hexadecimal digits, got \"12\""));
  EXPECT_THAT(ManifestError(absl::StrCat(R"({"files": {"a": {"sha256": ")",
                                         std::string(64, '0'),
                                         R"(", "size_bytes": -1}}})")),
              HasSubstr("\"size_bytes\": expected a whole number"));
}

}  // namespace
}  // namespace rwkvd
