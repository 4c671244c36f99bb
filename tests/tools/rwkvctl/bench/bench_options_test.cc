// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/bench_options.h"

#include <limits>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::optional<TokenRange> Parsed(absl::string_view text) {
  TokenRange range;
  std::string error;
  if (AbslParseFlag(text, &range, &error)) return range;
  EXPECT_THAT(error, HasSubstr("16:512"));
  return std::nullopt;
}

BenchOptions Limited() {
  BenchOptions options;
  options.requests = 1;
  return options;
}

TEST(TokenRangeTest, ParsesOneOrTwoNumbers) {
  EXPECT_EQ(Parsed("64"), (TokenRange{64, 64}));
  EXPECT_EQ(Parsed("16:512"), (TokenRange{16, 512}));
  EXPECT_EQ(Parsed("1:1048576"), (TokenRange{1, 1048576}));
  for (absl::string_view text : {"", ":", "0", "1:", ":5", "7:6", "0:4",
                                 "1:2:3", "-4", "1048577", "x"}) {
    EXPECT_EQ(Parsed(text), std::nullopt) << text;
  }
  EXPECT_EQ(AbslUnparseFlag(TokenRange{64, 64}), "64");
  EXPECT_EQ(AbslUnparseFlag(TokenRange{16, 512}), "16:512");
}

TEST(BenchOptionsTest, ValidateRequiresOneLimit) {
  EXPECT_TRUE(Validate(Limited()).ok());
  BenchOptions options;
  options.duration = absl::Seconds(1);
  EXPECT_TRUE(Validate(options).ok());
  EXPECT_THAT(std::string(Validate(BenchOptions()).message()),
              HasSubstr("neither --requests nor --duration"));
}

TEST(BenchOptionsTest, ValidateNamesTheFlagOutOfRange) {
  const auto error_of = [](auto change) {
    BenchOptions options = Limited();
    change(options);
    return std::string(Validate(options).message());
  };
  using Options = BenchOptions;
  EXPECT_EQ(error_of([](Options& o) { o.concurrency = 0; }),
            "--concurrency: 0 is not between 1 and 1024");
  EXPECT_THAT(error_of([](Options& o) { o.concurrency = 1025; }),
              HasSubstr("--concurrency"));
  EXPECT_THAT(error_of([](Options& o) { o.connections = 0; }),
              HasSubstr("--connections"));
  EXPECT_THAT(error_of([](Options& o) { o.rate = -1; }), HasSubstr("--rate"));
  EXPECT_THAT(error_of([](Options& o) {
                o.rate = std::numeric_limits<double>::quiet_NaN();
              }),
              HasSubstr("--rate"));
  EXPECT_THAT(error_of([](Options& o) { o.requests = -1; }),
              HasSubstr("--requests"));
  EXPECT_THAT(error_of([](Options& o) { o.duration = -absl::Seconds(1); }),
              HasSubstr("--duration"));
}

}  // namespace
}  // namespace rwkvd
