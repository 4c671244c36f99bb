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
    stub_ = Health::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  }

  grpc::Status Check(const std::string& service,
                     HealthCheckResponse* response) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    return stub_->Check(&context, request, response);
  }

  HealthService service_{{"", "known"}};
  std::unique_ptr<grpc::Server> server_;
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
