// SPDX-License-Identifier: Apache-2.0
#include "service/calls/score_call.h"

#include <utility>

#include "absl/status/status.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/convert/responses.h"
#include "service/convert/score_request.h"
#include "service/convert/score_size.h"

namespace rwkvd {

ScoreCall* ScoreCall::Start(const ServedModel* model, Metrics* metrics,
                            grpc::CallbackServerContext* context,
                            const v1::ScoreRequest& request,
                            v1::ScoreResponse* response) {
  auto* call = new ScoreCall(model, metrics, context, response);
  const absl::Status status = call->Submit(request);
  if (!status.ok()) {
    AddRetryPushback(status, context);
    call->status_ = ToGrpcStatus(status);
    call->Finish(call->status_);
  }
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

ScoreCall::ScoreCall(const ServedModel* model, Metrics* metrics,
                     grpc::CallbackServerContext* context,
                     v1::ScoreResponse* response)
    : model_(model),
      context_(context),
      response_(response),
      record_(metrics, Rpc::kScore) {}

absl::Status ScoreCall::Submit(const v1::ScoreRequest& proto) {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  RWKVD_ASSIGN_OR_RETURN(ScoreRequest request,
                         FromProto(proto, LimitsOf(*model_)));
  RWKVD_RETURN_IF_ERROR(CheckScoreResponseSize(proto, request));
  request.received = record_.received();
  request.deadline = DeadlineOf(*context_);
  // The engine's thread fills these in as soon as it has the request.
  is_list_ = !proto.items().empty();
  with_tokens_ = !proto.totals_only();
  for (const ScoreItem& item : request.items) {
    auto* const scores = is_list_ ? response_->add_items()->mutable_scores()
                                  : response_->mutable_scores();
    for (size_t i = 0; i < item.continuations.size(); ++i) scores->Add();
  }
  refs_.fetch_add(1, std::memory_order_relaxed);  // the engine's
  absl::StatusOr<Engine::RequestId> id =
      model_->engine->Submit(std::move(request), this);
  if (!id.ok()) {
    refs_.fetch_sub(1, std::memory_order_relaxed);
    return NameScoreField(id.status(), proto);
  }
  id_ = *id;
  return absl::OkStatus();
}

void ScoreCall::OnScore(const ScoreEvent& event) {
  const auto continuation = static_cast<int>(event.continuation);
  ToProto(event, with_tokens_,
          is_list_ ? response_->mutable_items(static_cast<int>(event.item))
                         ->mutable_scores(continuation)
                   : response_->mutable_scores(continuation));
}

void ScoreCall::OnFinish(const FinishEvent& event) {
  ToProto(event.usage, response_->mutable_usage());
  ToProto(event.times, response_->mutable_times());
  AddRetryPushback(event.status, context_);
  status_ = EndStatus(event.status, *context_);
  Finish(status_);
  Unref();
}

void ScoreCall::OnCancel() {
  if (id_.has_value()) model_->engine->Cancel(*id_);
}

void ScoreCall::OnDone() {
  record_.End(status_);
  Unref();
}

void ScoreCall::Unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace rwkvd
