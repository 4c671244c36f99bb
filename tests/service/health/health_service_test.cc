// SPDX-License-Identifier: Apache-2.0
#include "service/health/health_service.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/convert/small_message.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

class HealthServiceTest : public ::testing::Test {
 protected:
  HealthServiceTest() {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                                   grpc::InsecureChannelCredentials());
    stub_ = Health::NewStub(channel_);
  }

  grpc::Status Check(const std::string& service,
                     HealthCheckResponse* response) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    return stub_->Check(&context, request, response);
  }

  // Calls a method with `bytes`, which need not be a message.
  grpc::Status Send(const std::string& method, const std::string& bytes) {
    grpc::ClientContext context;
    return CallWithBytes(channel_, "/grpc.health.v1.Health/" + method, bytes,
                         &context);
  }

  HealthService service_{{"", "known"}};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Health::Stub> stub_;
};

// A Watch call. Cancelled by the destructor, unless it has ended.
class Watcher {
 public:
  Watcher(Health::Stub& stub, const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub.Watch(&context_, request);
  }
  ~Watcher() {
    context_.TryCancel();
    if (!has_ended_) End();
  }

  // The next report; UNKNOWN if there is none.
  HealthCheckResponse::ServingStatus Next() {
    HealthCheckResponse response;
    return reader_->Read(&response) ? response.status()
                                    : HealthCheckResponse::UNKNOWN;
  }

  // Waits for the end of the call.
  grpc::Status End() {
    has_ended_ = true;
    while (Next() != HealthCheckResponse::UNKNOWN) {
    }
    return reader_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
  bool has_ended_ = false;
};

TEST_F(HealthServiceTest, CheckReportsTheHealthOfAllNames) {
  HealthCheckResponse response;
  for (const char* name : {"", "known"}) {
    service_.SetServing(false);
    EXPECT_TRUE(Check(name, &response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
    service_.SetServing(true);
    EXPECT_TRUE(Check(name, &response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  EXPECT_EQ(Check("other", &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(HealthServiceTest, ListReportsTheHealthOfAllNames) {
  for (const auto expected :
       {HealthCheckResponse::SERVING, HealthCheckResponse::NOT_SERVING}) {
    service_.SetServing(expected == HealthCheckResponse::SERVING);
    grpc::ClientContext context;
    grpc::health::v1::HealthListResponse response;
    ASSERT_TRUE(stub_->List(&context, {}, &response).ok());
    EXPECT_EQ(response.statuses_size(), 2);
    for (const char* name : {"", "known"}) {
      EXPECT_EQ(response.statuses().at(name).status(), expected) << name;
    }
  }
}

// A client must not be able to keep gRPC's threads busy, or to fill the memory,
// with a message that is parsed as it arrives.
TEST_F(HealthServiceTest, LongAndMalformedRequestsAreRefused) {
  HealthCheckRequest request;
  request.set_service(std::string(kMaxSmallMessageBytes, 'x'));
  const std::string long_name = request.SerializeAsString();
  // A million unknown fields without content.
  std::string many_fields;
  for (int i = 0; i < 1'000'000; ++i) many_fields += std::string("\x12\0", 2);
  for (const char* method : {"Check", "Watch"}) {
    for (const std::string& bytes : {long_name, many_fields}) {
      const grpc::Status status = Send(method, bytes);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
      EXPECT_THAT(status.error_message(), HasSubstr("at most 4096")) << method;
    }
    // A name that lacks its end, and one that is not UTF-8.
    for (const char* bytes : {"\x0a\x05x", "\x0a\x01\xff"}) {
      const grpc::Status status = Send(method, bytes);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
      EXPECT_THAT(status.error_message(), HasSubstr("service")) << method;
    }
  }
  EXPECT_TRUE(Send("List", many_fields).ok());  // it has no fields to parse
}

TEST_F(HealthServiceTest, WatchReportsEachChangeOnce) {
  Watcher watcher(*stub_, "known");
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::NOT_SERVING);
  service_.SetServing(false);  // no change
  service_.SetServing(true);
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::SERVING);
  service_.SetServing(false);
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthServiceTest, WatchOfAnUnknownNameReportsThat) {
  Watcher watcher(*stub_, "other");
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  service_.SetServing(true);  // is not reported
  service_.EndWatches();
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::UNKNOWN);
}

TEST_F(HealthServiceTest, StoppedServiceDoesNotServeAgain) {
  service_.SetServing(true);
  Watcher watcher(*stub_, "");
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::SERVING);
  service_.StopServing();
  service_.SetServing(true);
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::NOT_SERVING);
  HealthCheckResponse response;
  EXPECT_TRUE(Check("", &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthServiceTest, EndedWatchesHaveReportedTheLastHealth) {
  service_.SetServing(true);
  Watcher before(*stub_, "");
  EXPECT_EQ(before.Next(), HealthCheckResponse::SERVING);
  service_.EndWatches();
  Watcher after(*stub_, "");
  for (Watcher* watcher : {&before, &after}) {
    EXPECT_EQ(watcher->Next(), HealthCheckResponse::NOT_SERVING);
    const grpc::Status status = watcher->End();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
  }
}

TEST_F(HealthServiceTest, WatchesFromOneAddressAreLimited) {
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (size_t i = 0; i < HealthService::kMaxWatchesPerAddress; ++i) {
    watchers.push_back(std::make_unique<Watcher>(*stub_, ""));
    ASSERT_EQ(watchers.back()->Next(), HealthCheckResponse::NOT_SERVING);
  }
  const grpc::Status status = Watcher(*stub_, "").End();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("256 from one address"));

  // The server learns of the cancellation some time later.
  watchers.pop_back();
  HealthCheckResponse::ServingStatus first = HealthCheckResponse::UNKNOWN;
  while (first == HealthCheckResponse::UNKNOWN) {
    first = Watcher(*stub_, "").Next();
  }
  EXPECT_EQ(first, HealthCheckResponse::NOT_SERVING);
}

}  // namespace
}  // namespace rwkvd
