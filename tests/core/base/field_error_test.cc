// SPDX-License-Identifier: Apache-2.0
#include "core/base/field_error.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

std::string WithPrefix(absl::string_view field) {
  return absl::StrCat("X.", field);
}

TEST(FieldErrorTest, NamesTheFieldAndTheProblem) {
  const absl::Status status = FieldError("prompt[3]", "token 9 is too large");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "prompt[3]: token 9 is too large");
  EXPECT_EQ(FieldOf(status), "prompt[3]");
  EXPECT_EQ(ReasonOf(status), ErrorReason::kFieldInvalid);
}

TEST(RenameFieldTest, RenamesTheFieldOfAFieldError) {
  const absl::Status status =
      RenameField(FieldError("a", "a: is a"), WithPrefix);
  EXPECT_EQ(status, FieldError("X.a", "a: is a"));
}

TEST(RenameFieldTest, KeepsWhatElseIsAttached) {
  const absl::Status status = WithQuota(
      FieldError(ErrorReason::kPinsExhausted, "a", "is full"), "pins");
  const absl::Status renamed = RenameField(status, WithPrefix);
  EXPECT_EQ(ReasonOf(renamed), ErrorReason::kPinsExhausted);
  EXPECT_EQ(QuotaOf(renamed), "pins");
  EXPECT_EQ(renamed.code(), absl::StatusCode::kResourceExhausted);
}

TEST(InFieldTest, PutsTheFieldBeforeTheMessage) {
  const absl::Status status =
      InField("a", MakeError(ErrorReason::kStateExpired, "too old"));
  EXPECT_EQ(status.message(), "a: too old");
  EXPECT_EQ(FieldOf(status), "a");
  EXPECT_EQ(ReasonOf(status), ErrorReason::kStateExpired);
}

TEST(RenameFieldTest, ReturnsOtherStatusesUnchanged) {
  const absl::Status other = absl::InvalidArgumentError("a: is a");
  EXPECT_EQ(RenameField(other, WithPrefix), other);
  EXPECT_EQ(RenameField(absl::OkStatus(), WithPrefix), absl::OkStatus());
}

}  // namespace
}  // namespace rwkvd
