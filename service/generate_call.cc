// SPDX-License-Identifier: Apache-2.0
#include "service/generate_call.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "service/admission.h"
#include "service/convert.h"
#include "service/grpc_status.h"

namespace rwkvd {

GenerateCall* GenerateCall::Start(const ServedModel* model, Metrics* metrics,
                                  grpc::CallbackServerContext* context,
                                  const v1::GenerateRequest& request) {
  auto* call = new GenerateCall(model, metrics, context);
  const absl::Status status = call->Submit(request);
  if (!status.ok()) {
    AddRetryPushback(status, context);
    call->status_ = ToGrpcStatus(status);
    call->Finish(call->status_);
  }
  // gRPC keeps back OnDone until it was given the call, so it still exists.
  return call;
}

GenerateCall::GenerateCall(const ServedModel* model, Metrics* metrics,
                           grpc::CallbackServerContext* context)
    : model_(model),
      metrics_(metrics),
      context_(context),
      record_(metrics, Rpc::kGenerate) {}

absl::Status GenerateCall::Submit(const v1::GenerateRequest& request) {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  RWKVD_ASSIGN_OR_RETURN(GenerateRequest native,
                         FromProto(request, LimitsOf(*model_)));
  native.received = record_.received();
  native.deadline = DeadlineOf(*context_);
  with_logprob_ = native.want_logprobs;
  seed_ = native.sampling.seed;
  refs_.fetch_add(1, std::memory_order_relaxed);  // the engine's
  absl::StatusOr<Engine::RequestId> id =
      model_->engine->Submit(std::move(native), this);
  if (!id.ok()) {
    refs_.fetch_sub(1, std::memory_order_relaxed);
    return id.status();
  }
  id_ = *id;
  return absl::OkStatus();
}

void GenerateCall::OnToken(const TokenEvent& event) {
  bool give_up = false;
  {
    absl::MutexLock lock(&mutex_);
    if (gone_) return;
    pending_.AddToken(event, with_logprob_);
    if (pending_.overflown()) {
      give_up = gone_ = too_slow_ = true;
      pending_.Clear();
    }
  }
  if (give_up) {
    context_->TryCancel();  // OnCancel then tells the engine
  } else {
    Advance();
  }
}

void GenerateCall::OnScore(const ScoreEvent&) {
  RWKVD_CHECK(false);  // asked for tokens
}

void GenerateCall::OnFinish(const FinishEvent& event) {
  AddRetryPushback(event.status, context_);
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    status_ = too_slow_ ? grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                       "the client reads too slowly")
                        : EndStatus(event.status, *context_);
    // A client that is to try again must not have got anything before.
    const bool refused = event.reason == FinishReason::kRefused;
    if (!gone_ && !refused) pending_.AddFinish(event, seed_);
  }
  if (event.status.ok()) metrics_->Generated(event.usage, event.times);
  Advance();
  Unref();
}

void GenerateCall::OnWriteDone(bool ok) {
  if (ok && !first_token_written_ && writing_.has_delta()) {
    first_token_written_ = true;
    metrics_->FirstTokenWritten(absl::Now() - record_.received());
  }
  {
    absl::MutexLock lock(&mutex_);
    write_under_way_ = false;
    if (!ok) {
      gone_ = true;
      pending_.Clear();
    }
  }
  Advance();
}

void GenerateCall::OnCancel() {
  if (id_.has_value()) model_->engine->Cancel(*id_);
}

void GenerateCall::OnDone() {
  record_.End(status_);
  Unref();
}

void GenerateCall::Advance() {
  bool write = false;
  {
    absl::MutexLock lock(&mutex_);
    if (write_under_way_ || finish_called_) return;
    if (!pending_.empty()) {
      write = write_under_way_ = true;
      writing_ = pending_.Pop();
    } else if (ended_) {
      finish_called_ = true;
    } else {
      return;
    }
  }
  // Not under the lock: gRPC may call back before these return.
  if (write) {
    StartWrite(&writing_);
  } else {
    Finish(status_);
  }
}

void GenerateCall::Unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace rwkvd
