// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_ERRORS_PROVOKED_H_
#define RWKVD_TESTS_SERVICE_ERRORS_PROVOKED_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "core/base/error_reason.h"
#include "google/protobuf/descriptor.h"
#include "tests/service/test_server.h"

namespace rwkvd {

// An error as a client gets it.
struct ProvokedError {
  grpc::Status status;
  // The trailing metadata grpc-retry-pushback-ms, or empty.
  std::string pushback;
  // The initial metadata x-request-id. Empty if no client has made the call.
  std::string request_id;
  // The type of the request, in which BadRequest must find its field. Null if
  // the error has no request.
  const google::protobuf::Descriptor* request = nullptr;
};

// The error of a call that has ended.
ProvokedError Ended(const grpc::Status& status,
                    const grpc::ClientContext& context,
                    const google::protobuf::Descriptor* request);

// An error that no client can provoke in a test, as the server would send it.
ProvokedError Sent(const absl::Status& status,
                   const google::protobuf::Descriptor* request = nullptr);

// Makes a Generate call and reads until its end.
ProvokedError GenerateError(const TestServer& server,
                            const v1::GenerateRequest& request);

// By reason: what provokes the error.
using Provokers = std::map<ErrorReason, std::function<ProvokedError()>>;

void AddRequestProvokers(Provokers* provokers);
void AddStateProvokers(Provokers* provokers);
void AddLoadProvokers(Provokers* provokers);
void AddServerProvokers(Provokers* provokers);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_ERRORS_PROVOKED_H_
