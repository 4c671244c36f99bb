// SPDX-License-Identifier: Apache-2.0
#include "service/auth/identity_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/auth/token_file.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

class IdentitySourceTest : public testing::Test {
 protected:
  IdentitySourceTest() : path_(absl::StrCat(testing::TempDir(), "/tokens")) {
    unlink(path_.c_str());
  }

  // Replaces the file as a whole.
  void Write(const std::string& text) const {
    const std::string draft = path_ + ".draft";
    std::ofstream(draft) << text;
    chmod(draft.c_str(), 0600);
    ASSERT_EQ(rename(draft.c_str(), path_.c_str()), 0);
  }
  static std::string LineOf(const std::string& token) {
    return absl::StrCat(token, " sha256:", DigestOf(token), " roles=infer\n");
  }
  std::unique_ptr<IdentitySource> OpenSource() const {
    return IdentitySource::Open(path_, absl::Milliseconds(1)).value();
  }

  const std::string path_;
};

bool Knows(const IdentitySource& source, const std::string& token) {
  return source.table()->FindByToken(token) != nullptr;
}

TEST_F(IdentitySourceTest, ChangedFileReplacesTheIdentities) {
  Write(LineOf("alice"));
  const auto source = OpenSource();
  EXPECT_TRUE(Knows(*source, "alice"));
  Write(LineOf("bob"));
  EXPECT_TRUE(Eventually([&] { return Knows(*source, "bob"); }));
  EXPECT_FALSE(Knows(*source, "alice"));
  EXPECT_TRUE(source->figures().is_current);
  EXPECT_GE(source->figures().reloads, 1);
}

TEST_F(IdentitySourceTest, BadFileKeepsTheLastGoodCopy) {
  Write(LineOf("alice"));
  const auto source = OpenSource();
  Write("alice wrong\n");
  EXPECT_TRUE(Eventually([&] { return !source->figures().is_current; }));
  EXPECT_EQ(source->figures().failures, 1);
  EXPECT_TRUE(Knows(*source, "alice"));
  unlink(path_.c_str());
  EXPECT_TRUE(Eventually([&] { return source->figures().failures == 2; }));
  EXPECT_TRUE(Knows(*source, "alice"));
  Write(LineOf("bob"));
  EXPECT_TRUE(Eventually([&] { return Knows(*source, "bob"); }));
  EXPECT_TRUE(source->figures().is_current);
}

TEST_F(IdentitySourceTest, ReloadSoonReadsTheFileThoughItHasNotChanged) {
  Write(LineOf("alice"));
  const auto source = IdentitySource::Open(path_, absl::Hours(1)).value();
  source->ReloadSoon();
  EXPECT_TRUE(Eventually([&] { return source->figures().reloads == 1; }));
}

TEST_F(IdentitySourceTest, StartFailsWithoutAGoodFile) {
  EXPECT_THAT(std::string(IdentitySource::Open(path_).status().message()),
              HasSubstr(absl::StrCat("cannot open ", path_)));
  Write("alice wrong\n");
  EXPECT_THAT(std::string(IdentitySource::Open(path_).status().message()),
              HasSubstr(absl::StrCat(path_, ":1: credential")));
}

TEST_F(IdentitySourceTest, FileThatOthersCanWriteIsRefused) {
  Write(LineOf("alice"));
  chmod(path_.c_str(), 0620);
  const absl::Status status = IdentitySource::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has mode 0620"));
  chmod(path_.c_str(), 0444);
  EXPECT_TRUE(ReadTokenFile(path_).ok());
}

TEST_F(IdentitySourceTest, OtherThingsThanFilesAreRefused) {
  EXPECT_EQ(ReadTokenFile(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(ReadTokenFile(path_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(IdentitySourceTest, LargeFileIsRefused) {
  Write(std::string(kMaxTokenFileBytes + 1, '\n'));
  EXPECT_THAT(std::string(ReadTokenFile(path_).status().message()),
              HasSubstr("expected at most 1048576 bytes, got 1048577"));
}

}  // namespace
}  // namespace rwkvd
