// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(ErrorReasonTest, NamesAreUniqueAndUpperSnakeCase) {
  std::set<std::string> names;
  for (const ErrorReasonInfo& info : AllErrorReasons()) {
    EXPECT_TRUE(names.emplace(info.name).second) << info.name;
    EXPECT_LE(info.name.size(), 63u) << info.name;
    for (const char c : info.name) {
      EXPECT_TRUE(absl::ascii_isupper(c) || absl::ascii_isdigit(c) || c == '_')
          << info.name;
    }
    EXPECT_EQ(FindErrorReason(info.name), info.reason);
  }
  EXPECT_FALSE(FindErrorReason("").has_value());
}

TEST(ErrorReasonTest, EveryReasonIsExplainedInSentences) {
  for (const ErrorReasonInfo& info : AllErrorReasons()) {
    EXPECT_NE(info.code, absl::StatusCode::kOk) << info.name;
    EXPECT_EQ(info.meaning.back(), '.') << info.name;
    EXPECT_EQ(info.what_to_do.back(), '.') << info.name;
  }
}

TEST(ErrorTest, HasTheCodeOfItsReason) {
  const absl::Status error = MakeError(ErrorReason::kPinNotFound, "no pin");
  EXPECT_EQ(error.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(error.message(), "no pin");
  EXPECT_EQ(ReasonOf(error), ErrorReason::kPinNotFound);
}

TEST(ErrorTest, CarriesWhatIsAttached) {
  absl::Status error = MakeError(ErrorReason::kQueueFull, "full");
  error = WithMetadata(error, "limit", "7");
  error = WithMetadata(error, "held", "8");
  error = WithQuota(error, "max_queued");
  error = WithResource(error, "state", "x\ny");
  EXPECT_THAT(MetadataOf(error),
              ElementsAre(Pair("held", "8"), Pair("limit", "7")));
  EXPECT_EQ(QuotaOf(error), "max_queued");
  ASSERT_TRUE(ResourceOf(error).has_value());
  EXPECT_EQ(ResourceOf(error)->type, "state");
  EXPECT_EQ(ResourceOf(error)->name, "x\ny");
}

TEST(ErrorTest, OtherStatusesHaveNothing) {
  const absl::Status other = absl::NotFoundError("other");
  EXPECT_FALSE(ReasonOf(other).has_value());
  EXPECT_TRUE(MetadataOf(other).empty());
  EXPECT_FALSE(QuotaOf(other).has_value());
  EXPECT_FALSE(ResourceOf(other).has_value());
}

TEST(WithMessageTest, KeepsCodeAndPayloads) {
  const absl::Status error =
      WithMessage(MakeError(ErrorReason::kStateExpired, "a"), "b");
  EXPECT_EQ(error.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(error.message(), "b");
  EXPECT_EQ(ReasonOf(error), ErrorReason::kStateExpired);
}

}  // namespace
}  // namespace rwkvd
