// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"

ABSL_FLAG(absl::Duration, wait, absl::ZeroDuration(),
          "How long to wait for the server to report SERVING.");
ABSL_FLAG(std::string, service, "",
          "Name of the service to check; empty for the whole server.");

namespace rwkvd {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// Prints the health, and returns the exit code.
int Report(const HealthCheckResponse& response) {
  if (WantJson()) {
    PrintJson(response);
  } else {
    std::printf(
        "%s\n",
        HealthCheckResponse::ServingStatus_Name(response.status()).c_str());
  }
  return response.status() == HealthCheckResponse::SERVING ? kExitOk
                                                           : kExitFailed;
}

// Watches the server's health until it is SERVING. Returns the exit code.
int WaitUntilServing(const HealthCheckRequest& request,
                     absl::Duration timeout) {
  Call call(timeout);
  call.context()->set_wait_for_ready(true);
  const auto reader =
      Health::NewStub(Connect())->Watch(call.context(), request);
  HealthCheckResponse response;
  while (reader->Read(&response)) {
    if (response.status() == HealthCheckResponse::SERVING) {
      call.context()->TryCancel();
      reader->Finish();
      return Report(response);
    }
  }
  return call.ExitCode(reader->Finish());
}

absl::StatusOr<int> RunHealth(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("health takes no arguments");
  }
  HealthCheckRequest request;
  request.set_service(absl::GetFlag(FLAGS_service));
  const absl::Duration wait = absl::GetFlag(FLAGS_wait);
  if (wait > absl::ZeroDuration()) return WaitUntilServing(request, wait);
  Call call;
  HealthCheckResponse response;
  const grpc::Status status =
      Health::NewStub(Connect())->Check(call.context(), request, &response);
  if (!status.ok()) return call.ExitCode(status);
  return Report(response);
}

constexpr absl::string_view kHealthFiles[] = {"tools/rwkvctl/health.cc"};

}  // namespace

const Command kHealth = {
    "health",
    "",
    "check the server's health",
    "Prints the server's health. The exit code is 0 only if it is SERVING.",
    "rwkvctl health\n"
    "rwkvctl health --wait=30s && rwkvctl generate Hello",
    kHealthFiles,
    &RunHealth};

}  // namespace rwkvd
