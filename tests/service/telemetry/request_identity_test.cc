// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/request_identity.h"

#include <grpcpp/support/error_details.h>

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::MatchesRegex;

constexpr char kSentTraceparent[] =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr char kMadeId[] = "[0-9a-f]{32}";
constexpr char kMadeTraceparent[] = "00-[0-9a-f]{32}-[0-9a-f]{16}-00";

// The initial metadata that comes back, by key.
using Returned = std::map<std::string, std::string>;

Returned ReturnedOf(const grpc::ClientContext& context) {
  Returned returned;
  for (const auto& [key, value] : context.GetServerInitialMetadata()) {
    returned[std::string(key.data(), key.size())] =
        std::string(value.data(), value.size());
  }
  return returned;
}

// A real server that answers with its model.
class RequestIdentityTest : public testing::Test {
 protected:
  void SetUp() override { server_.gate().Open(); }

  // What a call with this metadata gets back.
  Returned Call(const std::multimap<std::string, std::string>& metadata) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    v1::GetModelResponse response;
    const grpc::Status status =
        server_.NewStub()->GetModel(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return ReturnedOf(context);
  }

  TestServer server_;
};

TEST_F(RequestIdentityTest, IdAndTraceOfTheClientComeBack) {
  const Returned returned = Call(
      {{kRequestIdKey, "order-4711/2"}, {kTraceparentKey, kSentTraceparent}});
  EXPECT_EQ(returned.at(kRequestIdKey), "order-4711/2");
  const std::string traceparent = returned.at(kTraceparentKey);
  EXPECT_EQ(traceparent.substr(0, 36),
            std::string(kSentTraceparent).substr(0, 36));
  EXPECT_NE(traceparent, kSentTraceparent) << "the span is the server's";
  EXPECT_EQ(traceparent.substr(52), "-01");
}

TEST_F(RequestIdentityTest, AbsentIdAndTraceAreMade) {
  const Returned first = Call({});
  const Returned second = Call({});
  EXPECT_THAT(first.at(kRequestIdKey), MatchesRegex(kMadeId));
  EXPECT_THAT(first.at(kTraceparentKey), MatchesRegex(kMadeTraceparent));
  EXPECT_NE(first.at(kRequestIdKey), second.at(kRequestIdKey));
  EXPECT_NE(first.at(kTraceparentKey), second.at(kTraceparentKey));
}

TEST_F(RequestIdentityTest, MalformedOnesAreReplaced) {
  const std::string longest(kMaxRequestIdBytes, 'x');
  EXPECT_EQ(Call({{kRequestIdKey, longest}}).at(kRequestIdKey), longest);
  for (const std::string& id : {longest + "x", std::string("a b")}) {
    const Returned returned =
        Call({{kRequestIdKey, id}, {kTraceparentKey, "00-1-2-3"}});
    EXPECT_THAT(returned.at(kRequestIdKey), MatchesRegex(kMadeId)) << id;
    EXPECT_THAT(returned.at(kTraceparentKey), MatchesRegex(kMadeTraceparent));
  }
}

TEST_F(RequestIdentityTest, WhatIsThereTwiceIsReplaced) {
  const Returned returned = Call({{kRequestIdKey, "a"},
                                  {kRequestIdKey, "b"},
                                  {kTraceparentKey, kSentTraceparent},
                                  {kTraceparentKey, kSentTraceparent}});
  EXPECT_THAT(returned.at(kRequestIdKey), MatchesRegex(kMadeId));
  EXPECT_THAT(returned.at(kTraceparentKey), MatchesRegex(kMadeTraceparent));
}

TEST_F(RequestIdentityTest, ErrorHasTheIdInItsDetails) {
  grpc::ClientContext context;
  context.AddMetadata(kRequestIdKey, "order-1");
  v1::DeleteStateResponse response;
  const grpc::Status status =
      server_.NewStub()->DeleteState(&context, {}, &response);
  google::rpc::Status details;
  ASSERT_TRUE(grpc::ExtractErrorDetails(status, &details).ok());
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.metadata().at("request_id"), "order-1");
}

TEST(RequestIdTest, IsPrintableAsciiWithoutSpaces) {
  EXPECT_TRUE(IsRequestId("!~"));
  EXPECT_FALSE(IsRequestId(""));
  EXPECT_FALSE(IsRequestId("a\nb"));
  EXPECT_FALSE(IsRequestId("a\x7f"));
  EXPECT_FALSE(IsRequestId("caf\xc3\xa9"));
}

// Every kind of call, also one that fails before it has an answer.
TEST_F(RequestIdentityTest, EveryRpcReturnsIt) {
  const auto stub = server_.NewStub();
  const auto expect_identity = [](grpc::ClientContext& context) {
    EXPECT_EQ(ReturnedOf(context)[kRequestIdKey], "me");
    EXPECT_THAT(ReturnedOf(context)[kTraceparentKey],
                MatchesRegex(kMadeTraceparent));
  };
  const auto unary = [&](auto method, const auto& request, auto response) {
    grpc::ClientContext context;
    context.AddMetadata(kRequestIdKey, "me");
    (*stub.*method)(&context, request, &response);
    expect_identity(context);
  };
  using Stub = v1::RwkvService::Stub;
  unary(&Stub::Tokenize, v1::TokenizeRequest(), v1::TokenizeResponse());
  unary(&Stub::Detokenize, v1::DetokenizeRequest(), v1::DetokenizeResponse());
  unary(&Stub::Score, v1::ScoreRequest(), v1::ScoreResponse());
  unary(&Stub::UnpinPrefix, v1::UnpinPrefixRequest(),
        v1::UnpinPrefixResponse());
  unary(&Stub::ListPinnedPrefixes, v1::ListPinnedPrefixesRequest(),
        v1::ListPinnedPrefixesResponse());
  unary(&Stub::DeleteState, v1::DeleteStateRequest(),
        v1::DeleteStateResponse());
  unary(&Stub::GetModel, v1::GetModelRequest(), v1::GetModelResponse());
  for (const int max_tokens : {1, -1}) {
    grpc::ClientContext context;
    context.AddMetadata(kRequestIdKey, "me");
    const auto reader = stub->Generate(&context, SimpleRequest(max_tokens));
    v1::GenerateResponse response;
    while (reader->Read(&response)) continue;
    EXPECT_EQ(reader->Finish().ok(), max_tokens == 1);
    expect_identity(context);
  }
  {
    grpc::ClientContext context;
    context.AddMetadata(kRequestIdKey, "me");
    const auto reader = stub->GetState(&context, v1::GetStateRequest());
    reader->Finish();
    expect_identity(context);
  }
  {
    grpc::ClientContext context;
    context.AddMetadata(kRequestIdKey, "me");
    v1::PutStateResponse response;
    const auto writer = stub->PutState(&context, &response);
    writer->WritesDone();
    writer->Finish();
    expect_identity(context);
  }
  {
    grpc::ClientContext context;
    context.AddMetadata(kRequestIdKey, "me");
    const auto stream = stub->ScoreDocument(&context);
    stream->WritesDone();
    v1::ScoreDocumentResponse response;
    while (stream->Read(&response)) continue;
    stream->Finish();
    expect_identity(context);
  }
}

}  // namespace
}  // namespace rwkvd
