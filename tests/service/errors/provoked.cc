// SPDX-License-Identifier: Apache-2.0
#include "tests/service/errors/provoked.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/grpc_status.h"
#include "core/base/retry_after.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {
namespace {

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

std::string ValueOf(const Metadata& metadata, const char* key,
                    const std::string& absent) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return absent;
  return std::string(found->second.data(), found->second.size());
}

}  // namespace

ProvokedError Ended(const grpc::Status& status,
                    const grpc::ClientContext& context,
                    const google::protobuf::Descriptor* request) {
  const Metadata& initial = context.GetServerInitialMetadata();
  const Metadata& trailing = context.GetServerTrailingMetadata();
  return {.status = status,
          .pushback = ValueOf(trailing, kRetryPushback, ""),
          .request_id = ValueOf(initial, kRequestIdKey,
                                ValueOf(trailing, kRequestIdKey, "none")),
          .request = request};
}

ProvokedError Sent(const absl::Status& status,
                   const google::protobuf::Descriptor* request) {
  ProvokedError error = {.status = ToGrpcStatus(status), .request = request};
  const auto retry_after = RetryAfter(status);
  if (retry_after.has_value()) {
    error.pushback = absl::StrCat(absl::ToInt64Milliseconds(*retry_after));
  }
  return error;
}

ProvokedError GenerateError(const TestServer& server,
                            const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  const auto reader = stub->Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) continue;
  return Ended(reader->Finish(), context, v1::GenerateRequest::descriptor());
}

}  // namespace rwkvd
