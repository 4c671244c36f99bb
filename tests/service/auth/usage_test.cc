// SPDX-License-Identifier: Apache-2.0
// Quotas of identities and the records of what they use, on real servers.

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "service/auth/auth_collector.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Generates three tokens as `who`; the server's gate is open.
grpc::Status GenerateAs(const TestServer& server, const std::string& who,
                        const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  AddToken(who, &context);
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) continue;
  return reader->Finish();
}

Options OptionsWith(const std::string& settings) {
  Options options;
  options.auth_tokens = WriteTokenFile(
      TokenLine("a", "a", absl::StrCat("roles=infer,states,pins ", settings)));
  return options;
}

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(QuotaTest, PromptTokensAreLimitedPerMinute) {
  TestServer server(OptionsWith("prompt_tokens_per_minute=1"));
  server.gate().Open();
  EXPECT_TRUE(GenerateAs(server, "a", SimpleRequest(1)).ok());
  EXPECT_EQ(GenerateAs(server, "a", SimpleRequest(1)).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(QuotaTest, GeneratedTokensAreLimitedPerMinute) {
  TestServer server(OptionsWith("generated_tokens_per_minute=1"));
  server.gate().Open();
  EXPECT_TRUE(GenerateAs(server, "a", SimpleRequest(50)).ok());
  EXPECT_EQ(GenerateAs(server, "a", SimpleRequest(1)).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(QuotaTest, PinsAreLimited) {
  TestServer server(OptionsWith("max_pins=1"));
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(1);
  request.mutable_pin()->set_name("one");
  EXPECT_TRUE(GenerateAs(server, "a", request).ok());
  request.mutable_pin()->set_name("two");
  const grpc::Status status = GenerateAs(server, "a", request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("the limit is 1"));
}

TEST(UsageTest, CallHasALineWithoutItsPrompt) {
  Options options = OptionsWith("");
  options.usage_log = WriteTokenFile("");  // an empty file
  TestServer server(options);
  server.gate().Open();
  v1::GenerateRequest request = SimpleRequest(3);
  request.mutable_prompt()->set_text("secret");
  ASSERT_TRUE(GenerateAs(server, "a", request).ok());
  EXPECT_FALSE(GenerateAs(server, "wrong", request).ok());
  const auto text = [&] { return ContentOf(options.usage_log); };
  ASSERT_TRUE(Eventually([&] { return !text().empty(); }));
  EXPECT_THAT(text(), HasSubstr("\"identity\":\"a\""));
  EXPECT_THAT(text(), HasSubstr("\"rpc\":\"rwkv.v1.RwkvService/Generate\""));
  EXPECT_THAT(text(), HasSubstr("\"prompt_tokens\":6"));
  EXPECT_THAT(text(), HasSubstr("\"generated_tokens\":3"));
  EXPECT_THAT(text(), Not(HasSubstr("secret")));
  EXPECT_THAT(text(), Not(HasSubstr("UNAUTHENTICATED")));
}

TEST(UsageTest, LogIsOpenedAnewAfterItWasRenamed) {
  Options options = OptionsWith("");
  options.usage_log = WriteTokenFile("");
  TestServer server(options);
  server.gate().Open();
  const std::string renamed = options.usage_log + ".1";
  ASSERT_EQ(std::rename(options.usage_log.c_str(), renamed.c_str()), 0);
  server.server().Reload();
  ASSERT_TRUE(GenerateAs(server, "a", SimpleRequest(1)).ok());
  EXPECT_TRUE(
      Eventually([&] { return !ContentOf(options.usage_log).empty(); }));
  EXPECT_EQ(ContentOf(renamed), "");
}

TEST(UsageTest, LogThatCannotBeOpenedIsAnError) {
  EXPECT_THAT(std::string(UsageLog::Open("/none/log").status().message()),
              HasSubstr("--usage_log: cannot open /none/log"));
}

TEST(UsageTest, MetricsNameIdentitiesOnly) {
  Authorizer authorizer;
  ASSERT_TRUE(
      authorizer.Open(WriteTokenFile(TokenLine("a", "token", "roles=infer")))
          .ok());
  AuthCollector collector(&authorizer, nullptr);
  const std::string text =
      prometheus::TextSerializer().Serialize(collector.Collect());
  EXPECT_THAT(text, HasSubstr("rwkv_identity_calls_total{identity=\"a\"} 0"));
  EXPECT_THAT(text, HasSubstr("rwkv_auth_file_current 1"));
  EXPECT_THAT(text, HasSubstr("rwkv_auth_identities 1"));
  EXPECT_THAT(text, HasSubstr("rwkv_auth_refusals_total{reason=\"unknown\"}"));
  EXPECT_THAT(text, Not(HasSubstr(DigestOf("token"))));
}

}  // namespace
}  // namespace rwkvd
