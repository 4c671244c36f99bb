// SPDX-License-Identifier: Apache-2.0
#include "service/reflection/reflection.h"

#include <grpcpp/impl/codegen/sync_stream.h>

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "gtest/gtest.h"
#include "service/convert/small_message.h"
#include "service/reflection/reflection_answer.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using Stream =
    grpc::ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>;

// rwkv.v1, vLLM, health, and both versions of reflection.
constexpr int kNumServices = 5;
constexpr char kV1[] =
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
constexpr char kV1Alpha[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

ServerReflectionResponse Answer(const ServerReflectionRequest& request) {
  return AnswerReflection(request, {"a.B", "c.D"});
}

std::vector<std::string> FileNames(const ServerReflectionResponse& response) {
  std::vector<std::string> names;
  for (const std::string& bytes :
       response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    EXPECT_TRUE(file.ParseFromString(bytes));
    names.push_back(file.name());
  }
  return names;
}

TEST(AnswerReflectionTest, ListsTheServices) {
  ServerReflectionRequest request;
  request.set_host("h");
  request.set_list_services("anything");
  const ServerReflectionResponse response = Answer(request);
  ASSERT_EQ(response.list_services_response().service_size(), 2);
  EXPECT_EQ(response.list_services_response().service(0).name(), "a.B");
  EXPECT_EQ(response.valid_host(), "h");
  EXPECT_EQ(response.original_request().list_services(), "anything");
}

TEST(AnswerReflectionTest, FindsFilesByNameAndSymbol) {
  ServerReflectionRequest request;
  request.set_file_by_filename("grpc/reflection/v1/reflection.proto");
  EXPECT_THAT(FileNames(Answer(request)),
              ElementsAre("grpc/reflection/v1/reflection.proto"));
  for (const char* symbol :
       {"rwkv.v1.RwkvService", "rwkv.v1.RwkvService.Generate",
        "rwkv.v1.GenerateRequest", "rwkv.v1.GenerateRequest.max_tokens"}) {
    request.set_file_containing_symbol(symbol);
    EXPECT_THAT(FileNames(Answer(request)), ElementsAre("rwkv/v1/rwkv.proto"))
        << symbol;
  }
  request.set_file_containing_symbol(
      "grpc.reflection.v1alpha.ServerReflection");
  EXPECT_THAT(FileNames(Answer(request)),
              ElementsAre("grpc/reflection/v1alpha/reflection.proto"));
}

TEST(AnswerReflectionTest, FindsExtensions) {
  ServerReflectionRequest request;
  request.set_all_extension_numbers_of_type("google.protobuf.FieldOptions");
  EXPECT_EQ(Answer(request).all_extension_numbers_response().base_type_name(),
            "google.protobuf.FieldOptions");
  request.mutable_file_containing_extension()->set_containing_type(
      "google.protobuf.FieldOptions");
  request.mutable_file_containing_extension()->set_extension_number(77);
  EXPECT_THAT(Answer(request).error_response().error_message(),
              HasSubstr("no extension 77"));
}

TEST(AnswerReflectionTest, UnknownNamesAreErrors) {
  std::vector<ServerReflectionRequest> requests(4);
  requests[0].set_file_by_filename("x\n");
  requests[1].set_file_containing_symbol("x\n");
  requests[2].set_all_extension_numbers_of_type("x\n");
  requests[3].mutable_file_containing_extension()->set_containing_type("x\n");
  for (const ServerReflectionRequest& request : requests) {
    const auto response = Answer(request);
    EXPECT_EQ(response.error_response().error_code(),
              grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(response.error_response().error_message(),
                HasSubstr("\"x\\n\""));
  }
  EXPECT_EQ(Answer({}).error_response().error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

// A client of the real server.
class ReflectionTest : public ::testing::Test {
 protected:
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream;
  };

  std::unique_ptr<Call> Open(const char* method = kV1) {
    auto call = std::make_unique<Call>();
    if (channel_ == nullptr) channel_ = server_->NewChannel();
    call->stream.reset(
        grpc::internal::ClientReaderWriterFactory<ServerReflectionRequest,
                                                  ServerReflectionResponse>::
            Create(channel_.get(),
                   grpc::internal::RpcMethod(
                       method, grpc::internal::RpcMethod::BIDI_STREAMING,
                       channel_),
                   &call->context));
    return call;
  }

  // The number of services that the server lists; -1 if the call has ended.
  static int NumServices(Call& call) {
    ServerReflectionRequest request;
    request.set_list_services("");
    call.stream->Write(request);
    ServerReflectionResponse response;
    if (!call.stream->Read(&response)) return -1;
    return response.list_services_response().service_size();
  }

  Options options_;
  std::unique_ptr<TestServer> server_ = std::make_unique<TestServer>();
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ReflectionTest, IsServedUnderBothNames) {
  for (const char* method : {kV1, kV1Alpha}) {
    const auto call = Open(method);
    EXPECT_EQ(NumServices(*call), kNumServices);
    EXPECT_EQ(NumServices(*call), kNumServices);
    call->stream->WritesDone();
    EXPECT_TRUE(call->stream->Finish().ok());
  }
}

TEST_F(ReflectionTest, CanBeTurnedOff) {
  options_.reflection = false;
  server_ = std::make_unique<TestServer>(options_);
  for (const char* method : {kV1, kV1Alpha}) {
    EXPECT_EQ(Open(method)->stream->Finish().error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
}

TEST_F(ReflectionTest, StreamThatHasBeenIdleForTheLongestTimeEndsForANewOne) {
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < ReflectionStreams::kMaxOpen; ++i) {
    calls.push_back(Open());
    ASSERT_EQ(NumServices(*calls.back()), kNumServices);
  }
  ASSERT_EQ(NumServices(*calls[0]),
            kNumServices);  // now calls[1] is the oldest
  const auto one_more = Open();
  EXPECT_EQ(NumServices(*one_more), kNumServices);
  const grpc::Status status = calls[1]->stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("idle"));
  EXPECT_EQ(NumServices(*calls[0]), kNumServices);
  EXPECT_EQ(NumServices(*calls[2]), kNumServices);
}

TEST_F(ReflectionTest, LongAndMalformedRequestsAreRefused) {
  const auto call = Open();
  ServerReflectionRequest request;
  request.set_host(std::string(kMaxSmallMessageBytes, 'x'));
  call->stream->Write(request);
  const grpc::Status status = call->stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("at most 4096"));
}

TEST_F(ReflectionTest, OpenStreamDoesNotDelayTheEndOfTheServer) {
  const auto call = Open();
  ASSERT_EQ(NumServices(*call), kNumServices);
  server_->server().Drain();
  EXPECT_TRUE(server_->WaitForEnd().ok());
  EXPECT_EQ(call->stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace rwkvd
