// SPDX-License-Identifier: Apache-2.0
// Who may call which method, on real servers.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/error_details.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "gtest/gtest.h"
#include "service/auth/method_policy.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::ServiceDescriptor;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReflection[] =
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

// A server with one identity for each role, whose token is its name, and "all"
// with all roles. Its gate is open.
class AccessTest : public testing::Test {
 protected:
  AccessTest() : server_(NewOptions()) { server_.gate().Open(); }

  static Options NewOptions() {
    std::string text =
        TokenLine("all", "all", "roles=infer,score,states,pins,admin,metrics");
    for (const char* role :
         {"infer", "score", "states", "pins", "admin", "metrics"}) {
      text += TokenLine(role, role, absl::StrCat("roles=", role));
    }
    Options options;
    options.channelz = true;  // so that the server has all of its services
    options.auth_tokens = WriteTokenFile(text);
    return options;
  }

  // Calls a method with bytes that are no message; see AddToken.
  grpc::Status Call(absl::string_view method, const std::string& token) const {
    grpc::ClientContext context;
    if (!token.empty()) AddToken(token, &context);
    return CallWithBytes(server_.NewChannel(), absl::StrCat("/", method),
                         "\xff\xff", &context);
  }

  TestServer server_;
};

// The message of a call of the reflection service, with the role "all".
ServerReflectionResponse Reflect(const TestServer& server,
                                 const ServerReflectionRequest& request) {
  const auto channel = server.NewChannel();
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  AddToken("all", &context);
  grpc::CompletionQueue queue;
  const grpc::Slice slice(request.SerializeAsString());
  const auto call = stub.PrepareUnaryCall(&context, kReflection,
                                          grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer bytes;
  grpc::Status status;
  call->Finish(&bytes, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue.Next(&tag, &ok));
  EXPECT_TRUE(status.ok()) << status.error_message();
  grpc::Slice answer;
  EXPECT_TRUE(bytes.DumpToSingleSlice(&answer).ok());
  ServerReflectionResponse response;
  response.ParseFromArray(answer.begin(), static_cast<int>(answer.size()));
  return response;
}

// All methods of all services of the server, "PACKAGE.SERVICE/METHOD".
std::vector<std::string> MethodsOf(const TestServer& server) {
  ServerReflectionRequest request;
  request.set_list_services("");
  std::vector<std::string> methods;
  const ServerReflectionResponse response = Reflect(server, request);
  for (const auto& service : response.list_services_response().service()) {
    const ServiceDescriptor* const descriptor =
        DescriptorPool::generated_pool()->FindServiceByName(service.name());
    if (descriptor == nullptr) {
      ADD_FAILURE() << service.name();
      continue;
    }
    for (int i = 0; i < descriptor->method_count(); ++i) {
      methods.push_back(
          absl::StrCat(service.name(), "/", descriptor->method(i)->name()));
    }
  }
  return methods;
}

// The reason and the metadata of an error.
google::rpc::ErrorInfo InfoIn(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(grpc::ExtractErrorDetails(status, &details).ok());
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&info)) return info;
  }
  ADD_FAILURE() << "no ErrorInfo: " << status.error_message();
  return info;
}

TEST_F(AccessTest, TableHasEveryMethodOfTheServerAndNoOther) {
  const std::vector<std::string> methods = MethodsOf(server_);
  std::set<std::string> listed;
  for (const MethodPolicy& policy : AllMethodPolicies()) {
    EXPECT_TRUE(listed.insert(std::string(policy.method)).second)
        << policy.method;
    EXPECT_EQ(policy.roles != 0, policy.access == Access::kRole)
        << policy.method;
  }
  EXPECT_EQ(std::set<std::string>(methods.begin(), methods.end()), listed);
}

TEST_F(AccessTest, OnlyHealthIsOpen) {
  for (const MethodPolicy& policy : AllMethodPolicies()) {
    EXPECT_EQ(policy.access == Access::kOpen,
              absl::StartsWith(policy.method, "grpc.health.v1.Health/"))
        << policy.method;
  }
  EXPECT_EQ(server_.Health(), grpc::health::v1::HealthCheckResponse::SERVING);
}

// The messages are not unpacked: that would be INVALID_ARGUMENT.
TEST_F(AccessTest, EveryOtherMethodNeedsACredential) {
  for (const MethodPolicy& policy : AllMethodPolicies()) {
    if (policy.access == Access::kOpen) continue;
    EXPECT_EQ(InfoIn(Call(policy.method, "")).reason(), "CREDENTIAL_MISSING")
        << policy.method;
    const grpc::Status status = Call(policy.method, "wrong");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
        << policy.method;
    EXPECT_EQ(InfoIn(status).reason(), "CREDENTIAL_UNKNOWN") << policy.method;
  }
}

TEST_F(AccessTest, StrangersDoNotLearnWhichMethodsExist) {
  const std::string absent = "rwkv.v1.RwkvService/Sing";
  EXPECT_EQ(InfoIn(Call(absent, "")).reason(), "CREDENTIAL_MISSING");
  EXPECT_EQ(InfoIn(Call(absent, "wrong")).reason(), "CREDENTIAL_UNKNOWN");
  EXPECT_EQ(InfoIn(Call(absent, "infer")).reason(), "METHOD_UNKNOWN");
}

TEST_F(AccessTest, MethodNeedsOneOfItsRoles) {
  for (const MethodPolicy& policy : AllMethodPolicies()) {
    if (policy.access != Access::kRole) continue;
    for (const std::string role :
         {"infer", "score", "states", "pins", "admin", "metrics"}) {
      const bool has_role = (policy.roles & SetOf(*FindRole(role))) != 0;
      if (has_role) continue;  // see below
      const grpc::Status status = Call(policy.method, role);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << policy.method << " with " << role;
      const google::rpc::ErrorInfo info = InfoIn(status);
      EXPECT_EQ(info.reason(), "ROLE_MISSING");
      EXPECT_EQ(info.metadata().at("identity"), role);
      EXPECT_EQ(info.metadata().at("role"), NamesOf(policy.roles, " or "));
    }
  }
}

TEST_F(AccessTest, CallWithARoleOfItsMethodIsAnswered) {
  for (const MethodPolicy& policy : AllMethodPolicies()) {
    if (policy.access != Access::kRole) continue;
    for (const std::string role :
         {"infer", "score", "states", "pins", "admin", "metrics"}) {
      if ((policy.roles & SetOf(*FindRole(role))) == 0) continue;
      EXPECT_EQ(Call(policy.method, role).error_code(),
                grpc::StatusCode::INVALID_ARGUMENT)
          << policy.method << " with " << role;
    }
  }
}

TEST_F(AccessTest, EachIdentityMayCallMethodsForAll) {
  for (const std::string role : {"infer", "metrics"}) {
    grpc::ClientContext context;
    AddToken(role, &context);
    v1::GetModelResponse response;
    EXPECT_TRUE(server_.NewStub()->GetModel(&context, {}, &response).ok());
  }
}

TEST_F(AccessTest, SchemeOfTheTokenIsRequired) {
  for (const char* value : {"all", "Basic all", "Bearer", "Bearer  all", ""}) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", value);
    v1::GetModelResponse response;
    EXPECT_EQ(server_.NewStub()->GetModel(&context, {}, &response).error_code(),
              grpc::StatusCode::UNAUTHENTICATED)
        << value;
  }
  grpc::ClientContext context;
  context.AddMetadata("authorization", "bearer all");
  v1::GetModelResponse response;
  EXPECT_TRUE(server_.NewStub()->GetModel(&context, {}, &response).ok());
}

TEST_F(AccessTest, TwoTokensAreAsWrongAsNone) {
  grpc::ClientContext context;
  AddToken("all", &context);
  AddToken("all", &context);
  v1::GetModelResponse response;
  EXPECT_EQ(server_.NewStub()->GetModel(&context, {}, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

// One connection may carry calls of several identities.
TEST_F(AccessTest, IdentityIsThatOfTheCallNotOfTheConnection) {
  const auto stub = server_.NewStub();
  v1::GetModelResponse response;
  {
    grpc::ClientContext context;
    AddToken("all", &context);
    EXPECT_TRUE(stub->GetModel(&context, {}, &response).ok());
  }
  grpc::ClientContext context;
  EXPECT_EQ(stub->GetModel(&context, {}, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

grpc::Status GenerateWith(const TestServer& server, const std::string& token,
                          const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  AddToken(token, &context);
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) continue;
  return reader->Finish();
}

TEST_F(AccessTest, GenerateNeedsFurtherRolesForPinsAndHandles) {
  v1::GenerateRequest pins = SimpleRequest(1);
  pins.mutable_pin()->set_name("rules");
  v1::GenerateRequest loads = SimpleRequest(1);
  loads.set_state_handle("h");
  v1::GenerateRequest saves = SimpleRequest(1);
  saves.mutable_return_state()->set_at_end(true);
  saves.mutable_return_state()->set_as_handle(true);
  for (const v1::GenerateRequest& request : {pins, loads, saves}) {
    EXPECT_EQ(InfoIn(GenerateWith(server_, "infer", request)).reason(),
              "ROLE_MISSING");
  }
  EXPECT_TRUE(GenerateWith(server_, "infer", SimpleRequest(1)).ok());
  EXPECT_TRUE(GenerateWith(server_, "all", pins).ok());
  EXPECT_TRUE(GenerateWith(server_, "all", saves).ok());
}

TEST_F(AccessTest, ErrorDoesNotContainTheToken) {
  const std::string token = "rwkvd_0123456789abcdef";
  const grpc::Status status = Call("rwkv.v1.RwkvService/GetModel", token);
  EXPECT_THAT(status.error_message(), Not(HasSubstr(token)));
  EXPECT_THAT(status.error_details(), Not(HasSubstr(token)));
}

TEST(OpenAccessTest, ServerWithoutTokenFileAllowsEverything) {
  const TestServer server;
  for (const std::string token : {"", "any"}) {
    grpc::ClientContext context;
    if (!token.empty()) AddToken(token, &context);
    v1::GetServerInfoResponse response;
    EXPECT_TRUE(server.NewStub()->GetServerInfo(&context, {}, &response).ok());
  }
}

TEST(OpenAccessTest, RemovedTokenIsRefusedAfterReload) {
  Options options;
  options.auth_tokens = WriteTokenFile(TokenLine("a", "old", "roles=infer"));
  TestServer server(options);
  const auto code = [&server](const std::string& token) {
    grpc::ClientContext context;
    AddToken(token, &context);
    v1::GetModelResponse response;
    return server.NewStub()->GetModel(&context, {}, &response).error_code();
  };
  EXPECT_EQ(code("old"), grpc::StatusCode::OK);
  std::ofstream(options.auth_tokens) << TokenLine("a", "new", "roles=infer");
  server.server().Reload();
  EXPECT_TRUE(Eventually([&] { return code("new") == grpc::StatusCode::OK; }));
  EXPECT_EQ(code("old"), grpc::StatusCode::UNAUTHENTICATED);
}

// As docs/security.md writes it.
std::string NeedOf(const MethodPolicy& policy) {
  switch (policy.access) {
    case Access::kOpen:
      return "nothing";
    case Access::kIdentity:
      return "any identity";
    case Access::kRole:
      return NamesOf(policy.roles, " or ");
  }
  return "";
}

TEST(PolicyDocumentTest, ListsWhatEveryMethodNeeds) {
  std::ifstream file("docs/security.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string table = "| method | needs |\n|---|---|\n";
  for (const MethodPolicy& policy : AllMethodPolicies()) {
    absl::StrAppend(&table, "| `", policy.method, "` | ", NeedOf(policy),
                    " |\n");
  }
  EXPECT_THAT(text.str(), HasSubstr(table));
}

}  // namespace
}  // namespace rwkvd
