// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Repeat(absl::string_view part, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out.append(part.data(), part.size());
  return out;
}

TEST(ParseJson, KeepsEveryKindOfValue) {
  const auto json =
      ParseJson(R"({"a": [1, -2, 0.5, "x\u00e9\n", true, false, null, {}, []],)"
                R"( "b": {"c": {"d": 18446744073709551615}}, "": "empty key"})",
                "doc");
  ASSERT_TRUE(json.ok()) << json.status();
  const Json& a = json->at("a");
  ASSERT_EQ(a.size(), 9u);
  EXPECT_TRUE(a[0].is_number_unsigned());
  EXPECT_EQ(a[0].get<int>(), 1);
  EXPECT_EQ(a[1].get<int>(), -2);
  EXPECT_EQ(a[2].get<double>(), 0.5);
  EXPECT_EQ(a[3].get<std::string>(), "x\xc3\xa9\n");
  EXPECT_EQ(a[4], true);
  EXPECT_EQ(a[5], false);
  EXPECT_TRUE(a[6].is_null());
  EXPECT_TRUE(a[7].is_object() && a[7].empty());
  EXPECT_TRUE(a[8].is_array() && a[8].empty());
  EXPECT_EQ(json->at("b").at("c").at("d").get<uint64_t>(),
            18446744073709551615u);
  EXPECT_EQ(json->at("").get<std::string>(), "empty key");
  EXPECT_EQ(json->size(), 3u);
}

TEST(ParseJson, AcceptsAScalarDocument) {
  EXPECT_EQ(ParseJson("7", "doc").value(), 7);
  EXPECT_EQ(ParseJson(" \"x\" ", "doc").value(), "x");
}

TEST(ParseJson, SiblingsDoNotCountAsDepth) {
  JsonLimits limits;
  limits.max_depth = 2;
  const std::string siblings = "[" + Repeat("{},[],", 1000) + "{}]";
  const auto json = ParseJson(siblings, "doc", limits);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->size(), 2001u);
}

TEST(ParseJson, DepthLimitIsExact) {
  JsonLimits limits;
  limits.max_depth = 3;
  EXPECT_TRUE(ParseJson(R"({"a":[{"b":1}]})", "doc", limits).ok());
  const auto deeper = ParseJson(R"({"a":[{"b":[]}]})", "doc", limits);
  EXPECT_EQ(deeper.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(deeper.status().message()),
              AllOf(HasSubstr("doc"), HasSubstr("deeper than 3"),
                    HasSubstr("line 1, column 12")));
}

TEST(ParseJson, VeryDeepDocumentStopsAtTheLimit) {
  // The brackets are never closed: a parser that did not stop would report the
  // missing end instead.
  for (const char* open : {"[", "{\"a\":"}) {
    const auto json = ParseJson(Repeat(open, 1000000), "doc");
    EXPECT_THAT(std::string(json.status().message()),
                HasSubstr("deeper than 32"));
  }
}

TEST(ParseJson, SizeLimitIsExact) {
  JsonLimits limits;
  limits.max_bytes = 4;
  EXPECT_TRUE(ParseJson("[12]", "doc", limits).ok());
  const auto longer = ParseJson("[123]", "doc", limits);
  EXPECT_EQ(longer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(longer.status().message()),
              AllOf(HasSubstr("at most 4 bytes"), HasSubstr("got 5")));
}

TEST(ParseJson, RejectsDuplicateKeyInOneObject) {
  const auto json =
      ParseJson("{\"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2}}", "doc");
  EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(json.status().message()),
              AllOf(HasSubstr("doc"), HasSubstr("\"c\""), HasSubstr("twice"),
                    HasSubstr("line 2, column 18")));
}

TEST(ParseJson, RejectsDuplicateKeyWhoseFirstValueIsNull) {
  EXPECT_FALSE(ParseJson(R"({"a": null, "a": null})", "doc").ok());
}

TEST(ParseJson, AcceptsTheSameKeyInDifferentObjects) {
  EXPECT_TRUE(ParseJson(R"([{"a": 1}, {"a": {"a": 2}}])", "doc").ok());
}

TEST(ParseJson, MessageTruncatesAndEscapesLongKeys) {
  const std::string key = "\\u0007" + std::string(100000, 'k');
  const auto json = ParseJson("{\"" + key + "\":1,\"" + key + "\":2}", "doc");
  ASSERT_FALSE(json.ok());
  EXPECT_LT(json.status().message().size(), 300u);
  EXPECT_THAT(std::string(json.status().message()), Not(HasSubstr("\a")));
}

TEST(ParseJson, RejectsMalformedDocumentWithPosition) {
  const std::string documents[] = {"",
                                   " ",
                                   "{",
                                   "[1,]",
                                   "{\"a\"}",
                                   "{a:1}",
                                   "nul",
                                   "[1] 2",
                                   "\"\x80\"",
                                   "\"\\ud800\"",
                                   "[1e999]",
                                   "01",
                                   "[\"a\nb\"]",
                                   "{\"a\":1,}",
                                   "'a'",
                                   "// x\n1",
                                   "\"abc",
                                   "[1 2]",
                                   "NaN",
                                   "}",
                                   "\xff\xfe",
                                   "\xef\xbb",
                                   "{\"\xc3\":1}",
                                   std::string("[1\0]", 4)};
  for (const std::string& document : documents) {
    SCOPED_TRACE(document);
    const auto json = ParseJson(document, "some/file.json");
    EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(json.status().message()),
                AllOf(HasSubstr("some/file.json"), HasSubstr("line "),
                      Not(HasSubstr("json.exception"))));
  }
}

TEST(ParseJson, NamesWhatAFailedDownloadLeft) {
  for (const char* document :
       {"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        "<!DOCTYPE html>\n<html>404</html>"}) {
    const auto json = ParseJson(document, "some/file.json");
    EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(json.status().message()),
                HasSubstr("some/file.json: expected JSON, got a "));
  }
}

TEST(ParseJson, RejectsEveryTruncationOfADocument) {
  const std::string whole = R"({"a": [1.5, true, "\u00e9"], "b": {"c": null}})";
  ASSERT_TRUE(ParseJson(whole, "doc").ok());
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(ParseJson(whole.substr(0, length), "doc").ok()) << length;
  }
}

}  // namespace
}  // namespace rwkvd
