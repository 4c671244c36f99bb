// SPDX-License-Identifier: Apache-2.0
#include "service/calls/rwkv_service.h"

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/grpc_status.h"
#include "core/base/monotonic_clock.h"
#include "service/calls/admission.h"
#include "service/calls/detokenize.h"
#include "service/calls/generate_call.h"
#include "service/calls/get_state_call.h"
#include "service/calls/put_state_call.h"
#include "service/calls/score_call.h"
#include "service/calls/score_document_call.h"
#include "service/calls/tokenize.h"
#include "service/convert/responses.h"

namespace rwkvd {

grpc::ServerUnaryReactor* RwkvService::AnswerAtOnce(
    Rpc rpc, grpc::CallbackServerContext* context,
    absl::FunctionRef<absl::Status(const ServedModel&)> answer) {
  CallRecord record(metrics_, rpc);
  const ServedModel* const model = this->model();
  const grpc::Status status = ToGrpcStatus(
      model != nullptr ? answer(*model)
                       : absl::UnavailableError("the model is being loaded"));
  record.End(status);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* RwkvService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return GenerateCall::Start(environment(), context, request);
}

grpc::ServerUnaryReactor* RwkvService::Tokenize(
    grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
    v1::TokenizeResponse* response) {
  return AnswerAtOnce(Rpc::kTokenize, context, [&](const ServedModel& model) {
    return ::rwkvd::Tokenize(model, *request, response);
  });
}

grpc::ServerUnaryReactor* RwkvService::Detokenize(
    grpc::CallbackServerContext* context, const v1::DetokenizeRequest* request,
    v1::DetokenizeResponse* response) {
  return AnswerAtOnce(Rpc::kDetokenize, context, [&](const ServedModel& model) {
    return ::rwkvd::Detokenize(model, *request, response);
  });
}

grpc::ServerUnaryReactor* RwkvService::Score(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return ScoreCall::Start(environment(), context, request, response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
RwkvService::ScoreDocument(grpc::CallbackServerContext* context) {
  return ScoreDocumentCall::Start(environment(), context);
}

grpc::ServerUnaryReactor* RwkvService::UnpinPrefix(
    grpc::CallbackServerContext* context, const v1::UnpinPrefixRequest* request,
    v1::UnpinPrefixResponse*) {
  return AnswerAtOnce(
      Rpc::kUnpinPrefix, context, [&](const ServedModel& model) {
        return model.engine->Unpin(request->name())
                   ? absl::OkStatus()
                   : absl::NotFoundError(
                         "name: no prefix is pinned under this name");
      });
}

grpc::ServerUnaryReactor* RwkvService::ListPinnedPrefixes(
    grpc::CallbackServerContext* context, const v1::ListPinnedPrefixesRequest*,
    v1::ListPinnedPrefixesResponse* response) {
  return AnswerAtOnce(Rpc::kListPinnedPrefixes, context,
                      [&](const ServedModel& model) {
                        const absl::Time now = MonotonicNow();
                        ToProto(model.engine->Pinned(now), now, response);
                        return absl::OkStatus();
                      });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* RwkvService::PutState(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  return PutStateCall::Start(environment(), context, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* RwkvService::GetState(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return GetStateCall::Start(environment(), context, request);
}

grpc::ServerUnaryReactor* RwkvService::DeleteState(
    grpc::CallbackServerContext* context, const v1::DeleteStateRequest* request,
    v1::DeleteStateResponse*) {
  const ServedModel* const model = this->model();
  if (model == nullptr) {
    return AnswerAtOnce(Rpc::kDeleteState, context,
                        [](const ServedModel&) { return absl::OkStatus(); });
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  model->states->worker().Do(
      [model, context, reactor, handle = request->handle(),
       record = CallRecord(metrics_, Rpc::kDeleteState)]() mutable {
        const absl::Status deleted = model->states->Delete(handle);
        AddRetryPushback(deleted, context);
        const grpc::Status status = ToGrpcStatus(deleted);
        record.End(status);
        reactor->Finish(status);
      });
  return reactor;
}

grpc::ServerUnaryReactor* RwkvService::GetModel(
    grpc::CallbackServerContext* context, const v1::GetModelRequest*,
    v1::GetModelResponse* response) {
  return AnswerAtOnce(Rpc::kGetModel, context, [&](const ServedModel& model) {
    ToProto(model, response);
    return absl::OkStatus();
  });
}

}  // namespace rwkvd
