// SPDX-License-Identifier: Apache-2.0
#include "core/text/json_fields.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

std::string FieldError(const absl::Status& status) {
  return std::string(status.message());
}

TEST(JsonFieldsTest, UnexpectedNamesPlaceExpectedAndGot) {
  EXPECT_EQ(FieldError(Unexpected("a.b", "null", Json(3))),
            "a.b: expected null, got 3");
  EXPECT_EQ(FieldError(Unexpected("a", "null", Json("x\n"))),
            "a: expected null, got \"x\\n\"");
  EXPECT_EQ(FieldError(Unexpected("a", "null", Json::object())),
            "a: expected null, got an object");
  EXPECT_EQ(Unexpected("a", "b", Json()).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(JsonFieldsTest, ExpectReturnsErrorOnlyIfFalse) {
  EXPECT_TRUE(Expect(true, "a", "b", Json()).ok());
  EXPECT_FALSE(Expect(false, "a", "b", Json()).ok());
}

TEST(JsonFieldsTest, LongStringIsCutInMessage) {
  const Json text = std::string(1000000, 'x');
  EXPECT_LT(Unexpected("a", "b", text).message().size(), 300u);
}

TEST(JsonFieldsTest, FieldOfNonObjectOrAbsentFieldIsNull) {
  EXPECT_EQ(Field(Json{{"a", 1}}, "a"), 1);
  EXPECT_TRUE(Field(Json{{"a", 1}}, "b").is_null());
  EXPECT_TRUE(Field(Json(5), "a").is_null());
  EXPECT_TRUE(Field(Json(), "a").is_null());
}

TEST(JsonFieldsTest, ExpectObjectRefusesOtherTypesAndUnknownFields) {
  EXPECT_TRUE(ExpectObject(Json{{"a", 1}}, "x", {"a", "b"}).ok());
  EXPECT_TRUE(ExpectObject(Json::object(), "x", {}).ok());
  EXPECT_THAT(FieldError(ExpectObject(Json{{"c", 1}}, "x", {"a", "b"})),
              HasSubstr("x: the field \"c\" is not supported"));
  for (const Json& other : {Json(), Json(1), Json("s"), Json::array()}) {
    EXPECT_THAT(FieldError(ExpectObject(other, "x", {})),
                HasSubstr("x: expected an object"));
  }
}

TEST(JsonFieldsTest, ExpectFalseAcceptsOnlyAbsentNullAndFalse) {
  EXPECT_TRUE(
      ExpectFalse(Json{{"a", false}, {"b", nullptr}}, "x", {"a", "b", "c"})
          .ok());
  for (const Json& other : {Json(true), Json(0), Json(""), Json::array()}) {
    EXPECT_THAT(FieldError(ExpectFalse(Json{{"a", other}}, "x", {"a"})),
                HasSubstr("x.a: expected false"));
  }
}

}  // namespace
}  // namespace rwkvd
