// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <optional>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

ABSL_FLAG(bool, toggle, false, "Is it on?");
ABSL_FLAG(std::optional<bool>, maybe, std::nullopt, "Perhaps?");
ABSL_FLAG(int, number, 1, "A number.");
ABSL_FLAG(std::optional<float>, share, std::nullopt, "A share.");
ABSL_FLAG(absl::Duration, time, absl::ZeroDuration(), "A time.");
ABSL_FLAG(std::string, word, "w", "A word.");
ABSL_FLAG(rwkvd::RepeatedFlag, items, {}, "An item.");

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::string_view kHere[] = {"tests/cli/command_line_test.cc"};

class CommandLineTest : public ::testing::Test {
  absl::FlagSaver saver_;
};

TEST_F(CommandLineTest, ChangedFlagsAreThoseThatDifferFromTheirDefaults) {
  EXPECT_THAT(ChangedFlags(kHere), IsEmpty());
  ASSERT_TRUE(ParseCommandLine({"--word=a b", "--number=1", "--time=90s",
                                "--items=x", "--items=y", "--maybe"},
                               kHere)
                  .ok());
  EXPECT_THAT(
      ChangedFlags(kHere),
      ElementsAre("--items=x", "--items=y", "--maybe=true",
                  "--time=1m30s (default 0)", "--word=a b (default w)"));
}

TEST_F(CommandLineTest, BooleanFlagNeedsNoValue) {
  ASSERT_TRUE(ParseCommandLine({"--toggle"}, kHere).ok());
  EXPECT_TRUE(absl::GetFlag(FLAGS_toggle));
  ASSERT_TRUE(ParseCommandLine({"--notoggle"}, kHere).ok());
  EXPECT_FALSE(absl::GetFlag(FLAGS_toggle));
  ASSERT_TRUE(ParseCommandLine({"--toggle=true"}, kHere).ok());
  EXPECT_TRUE(absl::GetFlag(FLAGS_toggle));
}

TEST_F(CommandLineTest, OptionalBooleanFlagNeedsNoValue) {
  const auto line = ParseCommandLine({"--maybe", "text"}, kHere);
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(absl::GetFlag(FLAGS_maybe), true);
  EXPECT_THAT(line->arguments, ElementsAre("text"));
  ASSERT_TRUE(ParseCommandLine({"--nomaybe"}, kHere).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_maybe), false);
}

TEST_F(CommandLineTest, InvalidValueIsQuotedOnce) {
  EXPECT_EQ(ParseCommandLine({"--number=abc"}, kHere).status().message(),
            "--number: cannot read \"abc\": expected an integer of 32 bits");
}

TEST_F(CommandLineTest, InvalidValueErrorSaysWhatIsExpected) {
  const auto complaint = [](const std::string& arg) {
    return std::string(ParseCommandLine({arg}, kHere).status().message());
  };
  EXPECT_THAT(complaint("--toggle=on"), EndsWith("expected true or false"));
  EXPECT_THAT(complaint("--maybe=2"), EndsWith("expected true or false"));
  EXPECT_THAT(complaint("--number=4294967296"), EndsWith("of 32 bits"));
  EXPECT_THAT(complaint("--share=x"), EndsWith("expected a number"));
  EXPECT_THAT(complaint("--time=5"), HasSubstr("with its unit, such as 90s"));
}

TEST_F(CommandLineTest, OtherFlagsUseTheNextArgument) {
  const auto line = ParseCommandLine({"a", "--word", "-", "b"}, kHere);
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_word), "-");
  EXPECT_THAT(line->arguments, ElementsAre("a", "b"));
}

TEST_F(CommandLineTest, RepeatedFlagKeepsEveryValueUnchanged) {
  ASSERT_TRUE(ParseCommandLine({"--items=a,b=c", "--word=x", "--items", "",
                                "--items=line\nbreak", "--items=a,b=c"},
                               kHere)
                  .ok());
  EXPECT_THAT(absl::GetFlag(FLAGS_items).values,
              ElementsAre("a,b=c", "", "line\nbreak", "a,b=c"));
}

TEST_F(CommandLineTest, AbsentRepeatedFlagHasNoValues) {
  ASSERT_TRUE(ParseCommandLine({"--word=x"}, kHere).ok());
  EXPECT_THAT(absl::GetFlag(FLAGS_items).values, ElementsAre());
  EXPECT_THAT(
      std::string(ParseCommandLine({"--items"}, kHere).status().message()),
      HasSubstr("the value is missing"));
}

TEST_F(CommandLineTest, UnknownFlagErrorSuggestsTheNearestFlag) {
  const auto complaint = [](const std::string& arg) {
    return std::string(ParseCommandLine({arg}, kHere).status().message());
  };
  EXPECT_THAT(complaint("--togle"), HasSubstr("did you mean --toggle?"));
  EXPECT_THAT(complaint("--tiems=1"), HasSubstr("did you mean --items?"));
  EXPECT_THAT(complaint("--sword"), HasSubstr("did you mean --word?"));
  for (const char* far : {"--w", "--we", "--weather", "--tgl"}) {
    EXPECT_THAT(complaint(far), Not(HasSubstr("did you mean")));
  }
}

TEST_F(CommandLineTest, TwoDashesEndTheFlags) {
  const auto line = ParseCommandLine({"--", "--toggle", "-"}, kHere);
  ASSERT_TRUE(line.ok());
  EXPECT_THAT(line->arguments, ElementsAre("--toggle", "-"));
  EXPECT_FALSE(absl::GetFlag(FLAGS_toggle));
}

TEST_F(CommandLineTest, FlagsOfOtherFilesAreUnknown) {
  constexpr absl::string_view elsewhere[] = {"tests/service/elsewhere.cc"};
  EXPECT_THAT(
      std::string(ParseCommandLine({"--toggle"}, elsewhere).status().message()),
      HasSubstr("unknown flag --toggle"));
  EXPECT_FALSE(ParseCommandLine({"--noword"}, kHere).ok());
}

TEST_F(CommandLineTest, DescriptionHasHelpAndDefault) {
  const std::string text = DescribeFlags(kHere);
  EXPECT_THAT(text, HasSubstr("--word\n      A word. Default: w."));
  EXPECT_THAT(text, HasSubstr("--toggle\n      Is it on? Default: false."));
  EXPECT_THAT(text, HasSubstr("--items\n      An item.\n"));
}

}  // namespace
}  // namespace rwkvd
