// SPDX-License-Identifier: Apache-2.0
#include "service/model_watch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ModelWatchTest : public ::testing::Test {
 protected:
  ModelWatchTest()
      : path_(testing::WriteCheckpoint(testing::MakeTempDirectory(),
                                       testing::RandomRwkv4({}, 1))),
        watch_(*TensorFile::Open(path_)) {}

  // As if another process had written to the file.
  void ChangeFile() {
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

  const std::string path_;
  ModelWatch watch_;
};

TEST_F(ModelWatchTest, UnchangedFilesAreFine) {
  EXPECT_TRUE(watch_.Check().ok());
  EXPECT_TRUE(watch_.ForRequests().ok());
}

TEST_F(ModelWatchTest, ChangedFileDamagesTheModelForGood) {
  ChangeFile();
  const absl::Status status = watch_.Check();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  const absl::Status requests = watch_.ForRequests();
  EXPECT_EQ(requests.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(requests.message()), Not(HasSubstr("/")));
  EXPECT_EQ(watch_.Check(), status);
}

TEST_F(ModelWatchTest, FileThatIsReplacedByARenameIsFine) {
  testing::WriteFileOrDie(path_ + ".new", "another model");
  ASSERT_EQ(rename((path_ + ".new").c_str(), path_.c_str()), 0);
  EXPECT_TRUE(watch_.Check().ok());
  EXPECT_TRUE(watch_.Check().ok());
}

TEST_F(ModelWatchTest, ThreadReportsDamageSoonAfterItIsAsked) {
  absl::Notification damaged;
  absl::Status reason;
  watch_.Start([&](absl::Status status) {
    reason = std::move(status);
    damaged.Notify();
  });
  watch_.CheckSoon();
  ChangeFile();
  watch_.CheckSoon();
  damaged.WaitForNotification();
  EXPECT_EQ(reason, watch_.Check());
  EXPECT_FALSE(reason.ok());
}

TEST_F(ModelWatchTest, StepsOfALongRequestReportDamage) {
  absl::Notification damaged;
  watch_.Start([&](absl::Status) { damaged.Notify(); });
  ChangeFile();
  for (uint32_t i = 0; i < ModelWatch::kStepsPerCheck; ++i) {
    watch_.ForRequests().IgnoreError();
  }
  damaged.WaitForNotification();
  EXPECT_FALSE(watch_.ForRequests().ok());
}

}  // namespace
}  // namespace rwkvd
