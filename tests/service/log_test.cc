// SPDX-License-Identifier: Apache-2.0
#include "service/log.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(LimitedLogTest, LogsTheFirstLineAndThenTheNumberPerInterval) {
  LimitedLog log(absl::Seconds(10));
  const absl::Time start = absl::FromUnixSeconds(100);
  EXPECT_EQ(log.LineToLog("full", start), "full");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(1)), "");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(9)), "");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(10)),
            "full (and 2 similar lines before)");
  EXPECT_EQ(log.LineToLog("full", start + absl::Seconds(20)), "full");
}

TEST(LimitedLogTest, LogsEachLineWithoutAnInterval) {
  LimitedLog log(absl::ZeroDuration());
  const absl::Time now = absl::FromUnixSeconds(100);
  EXPECT_EQ(log.LineToLog("first", now), "first");
  EXPECT_EQ(log.LineToLog("second", now), "second");
}

const std::vector<LogField> kFields = {
    {"id", "a"}, {"tokens", int64_t{-7}}, {"total_seconds", 0.25}};

TEST(FormatLineTest, TextHasFieldsAfterTheMessage) {
  EXPECT_EQ(FormatLine(LogFormat::kText, "call", kFields),
            "call id=a tokens=-7 total_seconds=0.250000");
}

TEST(FormatLineTest, JsonHasMembersOfAnObject) {
  EXPECT_EQ(FormatLine(LogFormat::kJson, "call", kFields),
            R"("message":"call","id":"a","tokens":-7,)"
            R"("total_seconds":0.250000)");
}

TEST(FormatLineTest, TextQuotesValuesThatAreNotOneWord) {
  const std::vector<LogField> fields = {
      {"a", ""}, {"b", "x y"}, {"c", "k=v"}, {"d", "say \"x\""}};
  EXPECT_EQ(FormatLine(LogFormat::kText, "call", fields),
            R"(call a="" b="x y" c="k=v" d="say \"x\"")");
}

TEST(FormatLineTest, HostileTextStaysOneLineOfUtf8) {
  const std::vector<LogField> fields = {{"id", "\n{\"\xff\x1b"}};
  EXPECT_EQ(FormatLine(LogFormat::kJson, "a\nb\"\xff", fields),
            R"("message":"a\\nb\"\\xff","id":"\\n{\"\\xff\\x1b")");
  EXPECT_EQ(FormatLine(LogFormat::kText, "a\nb\xff", {}), R"(a\nb\xff)");
}

TEST(FormatLineTest, LongLineIsCut) {
  EXPECT_LT(FormatLine(LogFormat::kText, std::string(1 << 20, 'x'), {}).size(),
            size_t{64} << 10);
}

}  // namespace
}  // namespace rwkvd
