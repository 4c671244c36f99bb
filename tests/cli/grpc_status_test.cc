// SPDX-License-Identifier: Apache-2.0
#include "cli/grpc_status.h"

#include <string>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

TEST(GrpcStatusTest, KeepsCodeAndMessage) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const std::pair<absl::Status, grpc::StatusCode> cases[] = {
      {absl::CancelledError("m"), grpc::StatusCode::CANCELLED},
      {absl::InvalidArgumentError("m"), grpc::StatusCode::INVALID_ARGUMENT},
      {absl::DeadlineExceededError("m"), grpc::StatusCode::DEADLINE_EXCEEDED},
      {absl::NotFoundError("m"), grpc::StatusCode::NOT_FOUND},
      {absl::ResourceExhaustedError("m"), grpc::StatusCode::RESOURCE_EXHAUSTED},
      {absl::UnavailableError("m"), grpc::StatusCode::UNAVAILABLE},
      {absl::InternalError("m"), grpc::StatusCode::INTERNAL},
      {absl::UnauthenticatedError("m"), grpc::StatusCode::UNAUTHENTICATED},
  };
  for (const auto& [status, code] : cases) {
    EXPECT_EQ(ToGrpcStatus(status).error_code(), code);
    EXPECT_EQ(ToGrpcStatus(status).error_message(), "m");
  }
}

TEST(GrpcStatusTest, NamesAreThoseOfGrpc) {
  EXPECT_STREQ(NameOf(grpc::StatusCode::OK), "OK");
  EXPECT_STREQ(NameOf(grpc::StatusCode::INVALID_ARGUMENT), "INVALID_ARGUMENT");
  EXPECT_STREQ(NameOf(grpc::StatusCode::RESOURCE_EXHAUSTED),
               "RESOURCE_EXHAUSTED");
  EXPECT_STREQ(NameOf(grpc::StatusCode::UNAVAILABLE), "UNAVAILABLE");
  EXPECT_STREQ(NameOf(grpc::StatusCode::UNAUTHENTICATED), "UNAUTHENTICATED");
}

TEST(GrpcStatusTest, CutsLongMessagesBetweenCharacters) {
  std::string text = "x";
  for (int i = 0; i < 5000; ++i) text += "\xc3\xa9";  // two bytes each
  const std::string cut =
      ToGrpcStatus(absl::InternalError(text)).error_message();
  EXPECT_LT(cut.size(), 4096u);
  EXPECT_EQ(cut.size() % 2, 1u) << "ends inside a character";
}

}  // namespace
}  // namespace rwkvd
