// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/progress.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kAll = 100'000'000;
const absl::Time kBegin = absl::UnixEpoch();

TEST(ProgressTest, BarShowsPercentSpeedAndTimeLeft) {
  Progress progress(true);
  EXPECT_THAT(progress.Update("writing", 0, kAll, kBegin),
              HasSubstr("writing   [..............................]   0 %"));
  const std::string half =
      progress.Update("writing", kAll / 2, kAll, kBegin + absl::Seconds(65));
  EXPECT_THAT(half, ::testing::StartsWith("\r"));
  EXPECT_THAT(half, HasSubstr("[###############...............]  50 %"));
  EXPECT_THAT(half, HasSubstr("769.2 kB/s  ETA 1:05"));
  EXPECT_EQ(half.find('\n'), std::string::npos);
  EXPECT_THAT(
      progress.Update("writing", kAll, kAll, kBegin + absl::Seconds(66)),
      HasSubstr("[##############################] 100 %"));
}

TEST(ProgressTest, BarIsRedrawnTenTimesPerSecond) {
  Progress progress(true);
  int drawn = 0;
  for (int ms = 0; ms < 1000; ++ms) {
    const std::string text = progress.Update("writing", ms * 1000, kAll,
                                             kBegin + absl::Milliseconds(ms));
    drawn += text.empty() ? 0 : 1;
  }
  EXPECT_EQ(drawn, 10);
}

TEST(ProgressTest, EndRemovesTheBar) {
  Progress progress(true);
  EXPECT_EQ(progress.End(), "");
  progress.Update("writing", 1, kAll, kBegin);
  EXPECT_EQ(progress.End(), "\r\x1b[K");
  EXPECT_EQ(progress.End(), "");
}

TEST(ProgressTest, LinesAreRare) {
  // 100 seconds, 1 % per second: at most one line per 10 %.
  Progress slow(false);
  int lines = 0;
  for (int i = 0; i <= 1000; ++i) {
    const std::string text = slow.Update("writing", i * (kAll / 1000), kAll,
                                         kBegin + absl::Milliseconds(100 * i));
    lines += text.empty() ? 0 : 1;
  }
  EXPECT_EQ(lines, 10);
  // 10 seconds: at most one line per 5 seconds.
  Progress fast(false);
  lines = 0;
  for (int i = 0; i <= 1000; ++i) {
    const std::string text = fast.Update("writing", i * (kAll / 1000), kAll,
                                         kBegin + absl::Milliseconds(10 * i));
    lines += text.empty() ? 0 : 1;
  }
  EXPECT_EQ(lines, 2);
}

TEST(ProgressTest, LineShowsAmountPercentAndSpeed) {
  Progress progress(false);
  EXPECT_EQ(progress.Update("verifying", 0, kAll, kBegin), "");
  EXPECT_EQ(
      progress.Update("verifying", kAll / 4, kAll, kBegin + absl::Seconds(10)),
      "verifying: 25.0 MB of 100.0 MB, 25 %, 2.5 MB/s\n");
  EXPECT_EQ(progress.End(), "");
}

TEST(ProgressTest, NewTaskStartsOver) {
  Progress progress(true);
  progress.Update("writing", kAll, kAll, kBegin + absl::Seconds(50));
  progress.Update("verifying", 0, kAll, kBegin + absl::Seconds(50));
  EXPECT_THAT(
      progress.Update("verifying", kAll / 10, kAll, kBegin + absl::Seconds(51)),
      HasSubstr("10.0 MB/s  ETA 0:09"));
}

TEST(ProgressTest, EmptyTaskIsComplete) {
  Progress progress(true);
  EXPECT_THAT(progress.Update("writing", 0, 0, kBegin), HasSubstr("100 %"));
}

}  // namespace
}  // namespace rwkvd
