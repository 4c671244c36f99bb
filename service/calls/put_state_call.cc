// SPDX-License-Identifier: Apache-2.0
#include "service/calls/put_state_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "service/convert/convert_states.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

PutStateCall* PutStateCall::Start(const ServedModel* model, Metrics* metrics,
                                  grpc::CallbackServerContext* context,
                                  v1::PutStateResponse* response) {
  auto* call = new PutStateCall(model, metrics, context, response);
  const absl::Status status = call->Begin();
  if (status.ok()) {
    call->StartRead(&call->request_);
  } else {
    call->End(status);
  }
  // gRPC keeps back OnDone until it was given the call, so it still exists.
  return call;
}

PutStateCall::PutStateCall(const ServedModel* model, Metrics* metrics,
                           grpc::CallbackServerContext* context,
                           v1::PutStateResponse* response)
    : model_(model),
      context_(context),
      response_(response),
      record_(metrics, Rpc::kPutState) {}

absl::Status PutStateCall::Begin() {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  has_place_ = model_->states->BeginTransfer();
  if (has_place_) return absl::OkStatus();
  return absl::ResourceExhaustedError("too many states are on their way");
}

void PutStateCall::OnReadDone(bool ok) {
  if (ok) {
    const absl::Status status = Take();
    if (!status.ok()) return End(status);
    return StartRead(&request_);
  }
  if (context_->IsCancelled()) return End(absl::CancelledError("cancelled"));
  model_->states->worker().Do([this] { End(Keep()); });
}

absl::Status PutStateCall::Take() {
  if (request_.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        time_to_live_, ReadTimeToLive("ttl_seconds", request_.ttl_seconds()));
  }
  bytes_ += request_.data();
  const int64_t max_bytes = model_->states->max_bytes();
  if (static_cast<int64_t>(bytes_.size()) <= max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("data: more than ", max_bytes,
                   " bytes, the most that a state of this model can have"));
}

absl::Status PutStateCall::Keep() {
  RWKVD_RETURN_IF_ERROR(model_->states->Parse(bytes_, "data").status());
  RWKVD_ASSIGN_OR_RETURN(
      const KeptState kept,
      model_->states->Keep(std::move(bytes_),
                           time_to_live_.value_or(absl::ZeroDuration())));
  ToProto(kept, absl::Now(), response_->mutable_state());
  return absl::OkStatus();
}

void PutStateCall::End(const absl::Status& status) {
  status_ = ToGrpcStatus(status);
  Finish(status_);
}

void PutStateCall::OnDone() {
  if (has_place_) model_->states->EndTransfer();
  record_.End(status_);
  delete this;
}

}  // namespace rwkvd
