// SPDX-License-Identifier: Apache-2.0
#include "service/calls/rwkv_service.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/byte_budget.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/monotonic_clock.h"
#include "service/calls/detokenize.h"
#include "service/calls/generate_call.h"
#include "service/calls/get_state_call.h"
#include "service/calls/put_state_call.h"
#include "service/calls/rwkv_generate_protocol.h"
#include "service/calls/score_call.h"
#include "service/calls/score_document_call.h"
#include "service/calls/tokenize.h"
#include "service/calls/unary_call.h"
#include "service/convert/responses.h"
#include "service/convert/server_info.h"
#include "service/telemetry/load_report.h"

namespace rwkvd {
namespace {

absl::Status Unpin(const ServedModel& model, const Caller& caller,
                   const v1::UnpinPrefixRequest& request,
                   v1::UnpinPrefixResponse*) {
  return model.engine->Unpin(request.name(), caller.partition)
             ? absl::OkStatus()
             : WithResource(FieldError(ErrorReason::kPinNotFound, "name",
                                       "no prefix is pinned under this name"),
                            "pinned prefix", request.name());
}

absl::Status ListPinned(const ServedModel& model, const Caller& caller,
                        const v1::ListPinnedPrefixesRequest&,
                        v1::ListPinnedPrefixesResponse* response) {
  const absl::Time now = MonotonicNow();
  ToProto(model.engine->Pinned(now, caller.partition), now, response);
  return absl::OkStatus();
}

absl::Status DescribeModel(const ServedModel& model, const v1::GetModelRequest&,
                           ByteBudget::Reservation*,
                           v1::GetModelResponse* response) {
  ToProto(model, response);
  return absl::OkStatus();
}

absl::Status DescribeServer(const ServedModel& model,
                            const v1::GetServerInfoRequest&,
                            ByteBudget::Reservation*,
                            v1::GetServerInfoResponse* response) {
  ToProto(model, response);
  return absl::OkStatus();
}

absl::Status DescribeLoad(const ServedModel& model, const v1::GetLoadRequest&,
                          ByteBudget::Reservation*,
                          v1::GetLoadResponse* response) {
  ToProto(LoadOf(model), response);
  return absl::OkStatus();
}

// Deleting may wait for a disk.
void Delete(const ServedModel& model, RequestMessage message, UnaryCall* call) {
  v1::DeleteStateRequest request;
  const absl::Status status = message.ParseInto(&request);
  if (!status.ok()) return call->End(status);
  model.states->worker().Do(
      [&model, handle = request.handle(),
       partition = call->caller().partition] {
        return model.states->Delete(handle, partition);
      },
      [call](const absl::Status& deleted) { call->End(deleted); });
}

}  // namespace

CallEnvironment RwkvService::NewEnvironment(
    grpc::CallbackServerContext* context, Rpc rpc) {
  CallEnvironment environment = {
      model_.load(std::memory_order_acquire),
      metrics_,
      budgets_,
      pool_,
      monitor_,
      &transfers_,
      &documents_,
      IdentityOf(*context, /*sample_new=*/spans_ != nullptr),
      logs_calls_,
      WantsLoadReport(*context),
      spans_};
  environment.usage_log = usage_log_;
  if (authorizer_ != nullptr) {
    absl::StatusOr<Caller> caller =
        authorizer_->Authorize(*context, NameOf(rpc));
    environment.access = caller.status();
    if (caller.ok()) {
      environment.caller = *std::move(caller);
      environment.caller.SetByteLimits(budgets_->requests.limit(),
                                       budgets_->responses->limit());
    } else {
      // Who may not make the call learns nothing about the server, and costs it
      // as little as possible.
      environment.wants_load_report = false;
      environment.spans = nullptr;
    }
  }
  return environment;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* RwkvService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return GenerateCall::Start(NewEnvironment(context, Rpc::kGenerate), context,
                             request, std::make_unique<RwkvGenerateProtocol>());
}

grpc::ServerUnaryReactor* RwkvService::Tokenize(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kTokenize),
                          Rpc::kTokenize, context, request, response,
                          UnaryCall::Computed(&rwkvd::Tokenize));
}

grpc::ServerUnaryReactor* RwkvService::Detokenize(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kDetokenize),
                          Rpc::kDetokenize, context, request, response,
                          UnaryCall::Computed(&rwkvd::Detokenize));
}

grpc::ServerUnaryReactor* RwkvService::Score(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return ScoreCall::Start(NewEnvironment(context, Rpc::kScore), context,
                          request, response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
RwkvService::ScoreDocument(grpc::CallbackServerContext* context) {
  return ScoreDocumentCall::Start(NewEnvironment(context, Rpc::kScoreDocument),
                                  context);
}

grpc::ServerUnaryReactor* RwkvService::UnpinPrefix(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kUnpinPrefix),
                          Rpc::kUnpinPrefix, context, request, response,
                          UnaryCall::ComputedFor(&Unpin));
}

grpc::ServerUnaryReactor* RwkvService::ListPinnedPrefixes(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kListPinnedPrefixes),
                          Rpc::kListPinnedPrefixes, context, request, response,
                          UnaryCall::ComputedFor(&ListPinned));
}

grpc::ServerReadReactor<grpc::ByteBuffer>* RwkvService::PutState(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  return PutStateCall::Start(NewEnvironment(context, Rpc::kPutState), context,
                             response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* RwkvService::GetState(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return GetStateCall::Start(NewEnvironment(context, Rpc::kGetState), context,
                             request);
}

grpc::ServerUnaryReactor* RwkvService::DeleteState(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kDeleteState),
                          Rpc::kDeleteState, context, request, response,
                          &Delete);
}

grpc::ServerUnaryReactor* RwkvService::GetModel(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kGetModel),
                          Rpc::kGetModel, context, request, response,
                          UnaryCall::Computed(&DescribeModel));
}

grpc::ServerUnaryReactor* RwkvService::GetServerInfo(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kGetServerInfo),
                          Rpc::kGetServerInfo, context, request, response,
                          UnaryCall::Computed(&DescribeServer));
}

grpc::ServerUnaryReactor* RwkvService::GetLoad(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return UnaryCall::Start(NewEnvironment(context, Rpc::kGetLoad), Rpc::kGetLoad,
                          context, request, response,
                          UnaryCall::Computed(&DescribeLoad));
}

}  // namespace rwkvd
