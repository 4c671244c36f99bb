// SPDX-License-Identifier: Apache-2.0
#include "cli/error_details.h"

#include <grpcpp/support/error_details.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/retry_after.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// The details as a client extracts them.
google::rpc::Status DetailsOf(const absl::Status& error) {
  google::rpc::Status details;
  EXPECT_TRUE(grpc::ExtractErrorDetails(ToGrpcStatus(error), &details).ok());
  return details;
}

// The only detail of this type.
template <typename Detail>
Detail Find(const google::rpc::Status& details) {
  Detail found;
  int number = 0;
  for (const google::protobuf::Any& any : details.details()) {
    if (any.Is<Detail>()) ++number;
    if (any.Is<Detail>()) any.UnpackTo(&found);
  }
  EXPECT_EQ(number, 1) << Detail::descriptor()->full_name();
  return found;
}

TEST(ErrorDetailsTest, RepeatsCodeAndMessage) {
  const grpc::Status status =
      ToGrpcStatus(MakeError(ErrorReason::kPinNotFound, "no such pin"));
  google::rpc::Status details;
  ASSERT_TRUE(grpc::ExtractErrorDetails(status, &details).ok());
  EXPECT_EQ(details.code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(details.message(), status.error_message());
}

TEST(ErrorDetailsTest, ErrorInfoHasReasonDomainAndMetadata) {
  const auto info = Find<google::rpc::ErrorInfo>(DetailsOf(WithMetadata(
      MakeError(ErrorReason::kTooManyTokens, "too many"), "limit", "9")));
  EXPECT_EQ(info.reason(), "TOO_MANY_TOKENS");
  EXPECT_EQ(info.domain(), "rwkvd");
  EXPECT_EQ(info.metadata().at("limit"), "9");
}

TEST(ErrorDetailsTest, ErrorWithoutAReasonHasTheNameOfItsCode) {
  const auto info = Find<google::rpc::ErrorInfo>(
      DetailsOf(absl::UnimplementedError("unknown")));
  EXPECT_EQ(info.reason(), "UNIMPLEMENTED");
}

TEST(ErrorDetailsTest, BadRequestHasTheFieldAndTheProblem) {
  const auto bad_request = Find<google::rpc::BadRequest>(
      DetailsOf(FieldError("sampling.top_p", "2 is not in (0, 1]")));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "sampling.top_p");
  EXPECT_EQ(bad_request.field_violations(0).description(),
            "2 is not in (0, 1]");
}

TEST(ErrorDetailsTest, QuotaResourceAndRetryTimeAreSent) {
  absl::Status error = MakeError(ErrorReason::kQueueFull, "full");
  error = WithQuota(WithResource(error, "state", "7"), "max_queued");
  error = WithRetryAfter(error, absl::Milliseconds(2345));
  const google::rpc::Status details = DetailsOf(error);
  const auto delay = Find<google::rpc::RetryInfo>(details).retry_delay();
  EXPECT_EQ(delay.seconds(), 2);
  EXPECT_EQ(delay.nanos(), 345'000'000);
  const auto quota = Find<google::rpc::QuotaFailure>(details);
  ASSERT_EQ(quota.violations_size(), 1);
  EXPECT_EQ(quota.violations(0).subject(), "max_queued");
  EXPECT_EQ(quota.violations(0).description(), "full");
  const auto resource = Find<google::rpc::ResourceInfo>(details);
  EXPECT_EQ(resource.resource_type(), "state");
  EXPECT_EQ(resource.resource_name(), "7");
}

TEST(ErrorDetailsTest, HostileTextIsQuotedAndCut) {
  const std::string hostile(5000, '\xff');
  absl::Status error = FieldError(hostile, hostile);
  error = WithResource(WithMetadata(error, "a", hostile), "state", hostile);
  error = WithQuota(WithMetadata(error, "b", hostile), "max_queued");
  error = WithRetryAfter(error, absl::Seconds(1));
  const grpc::Status status = ToGrpcStatus(error);
  // Parsing it requires valid UTF-8.
  const google::rpc::Status details = DetailsOf(error);
  EXPECT_EQ(details.message(), status.error_message());
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(details).reason(), "FIELD_INVALID");
  EXPECT_LE(Find<google::rpc::ErrorInfo>(details).metadata().at("a").size(),
            410u);
  // What gRPC accepts, with the other trailing metadata.
  EXPECT_LT(3 * status.error_message().size() +
                absl::Base64Escape(status.error_details()).size(),
            7168u);
}

TEST(ErrorDetailsTest, DescriptionEndsBetweenCharacters) {
  std::string text = "x";
  for (int i = 0; i < 300; ++i) text += "\xc3\xa9";  // two bytes each
  const auto bad_request =
      Find<google::rpc::BadRequest>(DetailsOf(FieldError("f", text)));
  const std::string& description =
      bad_request.field_violations(0).description();
  EXPECT_LE(description.size(), 200u);
  EXPECT_EQ(description.size() % 2, 1u) << "ends inside a character";
}

TEST(ReasonInTest, FindsTheReason) {
  EXPECT_EQ(ReasonIn(ToGrpcStatus(MakeError(ErrorReason::kQueueFull, "full"))),
            "QUEUE_FULL");
}

TEST(ReasonInTest, IsEmptyWithoutDetails) {
  EXPECT_EQ(ReasonIn(grpc::Status::OK), "");
  EXPECT_EQ(ReasonIn(grpc::Status(grpc::StatusCode::INTERNAL, "m")), "");
  EXPECT_EQ(ReasonIn(grpc::Status(grpc::StatusCode::INTERNAL, "m", "\xff")),
            "");
}

TEST(ErrorDetailsTest, MetadataIsAddedToErrorInfoAndNothingElseChanges) {
  const grpc::Status before = ToGrpcStatus(WithRetryAfter(
      MakeError(ErrorReason::kQueueFull, "full"), absl::Seconds(3)));
  const grpc::Status after = WithErrorMetadata(before, "request_id", "order-1");
  EXPECT_EQ(after.error_code(), before.error_code());
  EXPECT_EQ(after.error_message(), before.error_message());
  google::rpc::Status details;
  ASSERT_TRUE(grpc::ExtractErrorDetails(after, &details).ok());
  const auto info = Find<google::rpc::ErrorInfo>(details);
  EXPECT_EQ(info.reason(), "QUEUE_FULL");
  EXPECT_EQ(info.metadata().at("request_id"), "order-1");
  EXPECT_EQ(Find<google::rpc::RetryInfo>(details).retry_delay().seconds(), 3);
}

TEST(ErrorDetailsTest, StatusWithoutDetailsGetsNoMetadata) {
  EXPECT_TRUE(WithErrorMetadata(grpc::Status::OK, "a", "b").ok());
  const grpc::Status bare(grpc::StatusCode::INTERNAL, "why");
  EXPECT_EQ(WithErrorMetadata(bare, "a", "b").error_details(), "");
}

}  // namespace
}  // namespace rwkvd
