// SPDX-License-Identifier: Apache-2.0
#include "core/base/failed_download.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::string Described(absl::string_view content) {
  return std::string(DescribeFailedDownload(content));
}

TEST(DescribeFailedDownloadTest, NamesGitLfsPointers) {
  EXPECT_THAT(Described("version https://git-lfs.github.com/spec/v1\noid"),
              HasSubstr("git lfs pull"));
}

TEST(DescribeFailedDownloadTest, NamesWebPages) {
  for (const char* page :
       {"<!DOCTYPE html><html lang=en>", "<!doctype HTML>", "<HTML><head>",
        "\n  <html>", "\xEF\xBB\xBF<!DOCTYPE html>",
        "\xEF\xBB\xBF\r\n<html>"}) {
    EXPECT_THAT(Described(page), HasSubstr("a web page")) << page;
  }
}

TEST(DescribeFailedDownloadTest, SaysNothingAboutOtherContents) {
  for (const char* content :
       {"", " ", "{\"html\": 1}", "version", "1 '<html>' 6", "\xEF\xBB\xBF{}",
        "html", "<?xml version=\"1.0\"?>"}) {
    EXPECT_EQ(Described(content), "") << content;
  }
}

}  // namespace
}  // namespace rwkvd
