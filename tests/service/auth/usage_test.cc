// SPDX-License-Identifier: Apache-2.0
// The records of what identities use, on real servers.

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

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

Options OptionsWithUser() {
  Options options;
  options.auth_tokens =
      WriteTokenFile(TokenLine("a", "a", "roles=infer,states,pins"));
  return options;
}

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(UsageTest, CallHasALineWithoutItsPrompt) {
  Options options = OptionsWithUser();
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
  Options options = OptionsWithUser();
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
