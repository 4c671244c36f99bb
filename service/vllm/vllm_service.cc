// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/byte_budget.h"
#include "core/base/exceptions.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/calls/generate_call.h"
#include "service/calls/unary_call.h"
#include "service/convert/small_message.h"
#include "service/telemetry/server_load.h"
#include "service/vllm/get_tokenizer_call.h"
#include "service/vllm/vllm_generate_protocol.h"
#include "service/vllm/vllm_info.h"

namespace rwkvd {
namespace {

namespace pb = ::vllm::grpc::engine;

// More than a server has calls by default.
constexpr int kMaxAbortIds = 10000;

absl::Status DescribeVllmModel(const ServedModel& model,
                               const pb::GetModelInfoRequest&,
                               ByteBudget::Reservation*,
                               pb::GetModelInfoResponse* response) {
  ToProto(model, response);
  return absl::OkStatus();
}

absl::Status DescribeVllmServer(const ServedModel& model,
                                const pb::GetServerInfoRequest&,
                                ByteBudget::Reservation*,
                                pb::GetServerInfoResponse* response) {
  ToProto(model, LoadOf(model), response);
  return absl::OkStatus();
}

absl::Status DescribeVllmLoads(const ServedModel& model,
                               const pb::GetLoadsRequest&,
                               ByteBudget::Reservation*,
                               pb::GetLoadsResponse* response) {
  ToProto(LoadOf(model), response);
  return absl::OkStatus();
}

absl::Status AbortCalls(const pb::AbortRequest& request,
                        const std::string& partition, RunningCalls* running) {
  if (request.request_ids_size() > kMaxAbortIds) {
    return FieldError("request_ids",
                      absl::StrCat("has ", request.request_ids_size(),
                                   " ids, must have 0 to ", kMaxAbortIds));
  }
  running->Abort(partition,
                 {request.request_ids().begin(), request.request_ids().end()});
  return absl::OkStatus();
}

UnaryCall::Answer AbortIn(std::string partition, RunningCalls* running) {
  return [partition = std::move(partition), running](
             const ServedModel&, RequestMessage message, UnaryCall* call) {
    const absl::Status status = CatchExceptions([&]() -> absl::Status {
      pb::AbortRequest request;
      RWKVD_RETURN_IF_ERROR(message.ParseInto(&request));
      return AbortCalls(request, partition, running);
    });
    const pb::AbortResponse response;
    call->End(status, &response);
  };
}

pb::HealthCheckResponse HealthResponse(bool is_serving) {
  pb::HealthCheckResponse response;
  response.set_healthy(is_serving);
  response.set_message(is_serving ? "serving" : "not serving");
  return response;
}

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* VllmService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  const CallEnvironment environment =
      service_->NewEnvironment(context, Rpc::kVllmGenerate);
  return GenerateCall::Start(environment, context, request,
                             std::make_unique<VllmGenerateProtocol>(
                                 &running_, environment.caller.partition));
}

grpc::ServerUnaryReactor* VllmService::Abort(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  const CallEnvironment environment =
      service_->NewEnvironment(context, Rpc::kVllmAbort);
  return UnaryCall::Start(environment, Rpc::kVllmAbort, context, request,
                          response,
                          AbortIn(environment.caller.partition, &running_));
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* VllmService::GetTokenizer(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return GetTokenizerCall::Start(
      service_->NewEnvironment(context, Rpc::kVllmGetTokenizer), context,
      request, &archives_);
}

grpc::ServerUnaryReactor* VllmService::HealthCheck(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  const CallEnvironment environment =
      service_->NewEnvironment(context, Rpc::kVllmHealthCheck);
  absl::Status status = environment.CheckAllowed();
  pb::HealthCheckRequest parsed;
  if (status.ok()) status = ParseSmallMessage(*request, &parsed);
  return UnaryCall::StartAnswered(environment, Rpc::kVllmHealthCheck, context,
                                  response, status,
                                  HealthResponse(health_->IsServing()));
}

grpc::ServerUnaryReactor* VllmService::GetModelInfo(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(
      service_->NewEnvironment(context, Rpc::kVllmGetModelInfo),
      Rpc::kVllmGetModelInfo, context, request, response,
      UnaryCall::Computed(&DescribeVllmModel));
}

grpc::ServerUnaryReactor* VllmService::GetServerInfo(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(
      service_->NewEnvironment(context, Rpc::kVllmGetServerInfo),
      Rpc::kVllmGetServerInfo, context, request, response,
      UnaryCall::Computed(&DescribeVllmServer));
}

grpc::ServerUnaryReactor* VllmService::GetLoads(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(service_->NewEnvironment(context, Rpc::kVllmGetLoads),
                          Rpc::kVllmGetLoads, context, request, response,
                          UnaryCall::Computed(&DescribeVllmLoads));
}

}  // namespace rwkvd
