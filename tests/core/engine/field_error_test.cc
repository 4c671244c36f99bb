// SPDX-License-Identifier: Apache-2.0
#include "core/engine/field_error.h"

#include <string>

#include "absl/strings/str_cat.h"
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
}

TEST(RenameFieldTest, RenamesTheFieldOfAFieldError) {
  const absl::Status status =
      RenameField(FieldError("a", "a: is a"), WithPrefix);
  EXPECT_EQ(status, absl::InvalidArgumentError("X.a: a: is a"));
}

TEST(RenameFieldTest, ReturnsOtherStatusesUnchanged) {
  const absl::Status other = absl::InvalidArgumentError("a: is a");
  EXPECT_EQ(RenameField(other, WithPrefix), other);
  EXPECT_EQ(RenameField(absl::OkStatus(), WithPrefix), absl::OkStatus());
}

}  // namespace
}  // namespace rwkvd
