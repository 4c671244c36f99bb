// SPDX-License-Identifier: Apache-2.0
// Every error of docs/errors.md is provoked, most of them through a client of a
// real server, and has the details that it promises.

#include <grpcpp/support/error_details.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cli/grpc_status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "service/telemetry/request_identity.h"
#include "tests/service/errors/field_path.h"
#include "tests/service/errors/provoked.h"

namespace rwkvd {
namespace {

using google::protobuf::Descriptor;

const Provokers& AllProvokers() {
  static const Provokers* const all = [] {
    auto* const provokers = new Provokers;
    AddRequestProvokers(provokers);
    AddStateProvokers(provokers);
    AddLoadProvokers(provokers);
    AddServerProvokers(provokers);
    return provokers;
  }();
  return *all;
}

// Whether the reasons from kQueueFull to kStateDiskFull have this one.
bool IsTemporaryLimit(ErrorReason reason) {
  return reason >= ErrorReason::kQueueFull &&
         reason <= ErrorReason::kStateDiskFull;
}

// Whether errors with this reason always have a retry time; others never do.
bool HasRetryTime(ErrorReason reason) {
  return IsTemporaryLimit(reason) || reason == ErrorReason::kModelLoading ||
         reason == ErrorReason::kServerShuttingDown ||
         reason == ErrorReason::kStateStoreFailed;
}

template <typename Detail>
bool Find(const google::rpc::Status& details, Detail* detail) {
  for (const google::protobuf::Any& any : details.details()) {
    if (any.UnpackTo(detail)) return true;
  }
  return false;
}

template <typename Detail>
bool Has(const google::rpc::Status& details) {
  Detail detail;
  return Find(details, &detail);
}

class ProvokedErrorTest : public ::testing::TestWithParam<ErrorReasonInfo> {
 protected:
  void ExpectRetryTime(const ProvokedError& error) const {
    google::rpc::RetryInfo retry;
    const bool has_retry = Find(details_, &retry);
    EXPECT_EQ(has_retry, !error.pushback.empty());
    EXPECT_EQ(has_retry, HasRetryTime(GetParam().reason));
    if (!has_retry) return;
    int64_t milliseconds = 0;
    ASSERT_TRUE(absl::SimpleAtoi(error.pushback, &milliseconds));
    EXPECT_EQ(retry.retry_delay().seconds() * 1000 +
                  retry.retry_delay().nanos() / 1'000'000,
              milliseconds);
  }

  void ExpectField(const ProvokedError& error) const {
    google::rpc::BadRequest bad_request;
    if (!Find(details_, &bad_request)) return;
    ASSERT_EQ(bad_request.field_violations_size(), 1);
    const auto& violation = bad_request.field_violations(0);
    EXPECT_FALSE(violation.description().empty());
    if (error.request == nullptr) return;
    EXPECT_TRUE(IsFieldPath(violation.field(), *error.request))
        << violation.field();
  }

  google::rpc::Status details_;
};

TEST_P(ProvokedErrorTest, HasItsReasonAndDetails) {
  const auto provoke = AllProvokers().find(GetParam().reason);
  ASSERT_NE(provoke, AllProvokers().end())
      << GetParam().name << " needs a provoker in tests/service/errors";
  const ProvokedError error = provoke->second();
  EXPECT_EQ(error.status.error_code(),
            static_cast<grpc::StatusCode>(GetParam().code))
      << error.status.error_message();
  ASSERT_TRUE(grpc::ExtractErrorDetails(error.status, &details_).ok());
  EXPECT_EQ(details_.message(), error.status.error_message());
  EXPECT_EQ(details_.code(), error.status.error_code());
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(details_, &info)) << error.status.error_message();
  EXPECT_EQ(info.reason(), GetParam().name) << error.status.error_message();
  EXPECT_EQ(info.domain(), "rwkvd");
  if (!error.request_id.empty()) {
    EXPECT_EQ(info.metadata().at(kErrorRequestIdKey), error.request_id);
  }
  ExpectRetryTime(error);
  ExpectField(error);
  if (GetParam().code == absl::StatusCode::kNotFound) {
    EXPECT_TRUE(Has<google::rpc::ResourceInfo>(details_));
    EXPECT_TRUE(Has<google::rpc::BadRequest>(details_));
  }
  // A full disk has no limit that a flag sets.
  if (IsTemporaryLimit(GetParam().reason) &&
      GetParam().reason != ErrorReason::kStateDiskFull) {
    EXPECT_TRUE(Has<google::rpc::QuotaFailure>(details_));
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllReasons, ProvokedErrorTest, ::testing::ValuesIn(AllErrorReasons()),
    [](const ::testing::TestParamInfo<ErrorReasonInfo>& info) {
      return std::string(info.param.name);
    });

}  // namespace
}  // namespace rwkvd
