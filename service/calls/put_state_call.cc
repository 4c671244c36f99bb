// SPDX-License-Identifier: Apache-2.0
#include "service/calls/put_state_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/convert/input.h"
#include "service/convert/responses.h"

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
  // The call still exists: gRPC calls OnDone only after this has returned.
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
  has_transfer_ = model_->states->BeginTransfer();
  if (has_transfer_) return absl::OkStatus();
  return absl::ResourceExhaustedError("too many states are being transferred");
}

void PutStateCall::OnReadDone(bool ok) {
  if (ok) {
    const absl::Status status = AppendMessage();
    if (!status.ok()) return End(status);
    return StartRead(&request_);
  }
  if (context_->IsCancelled()) return End(absl::CancelledError("cancelled"));
  model_->states->worker().Do([this] { End(Save()); });
}

absl::Status PutStateCall::AppendMessage() {
  if (request_.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        time_to_live_,
        TimeToLiveFromProto("ttl_seconds", request_.ttl_seconds()));
  }
  bytes_ += request_.data();
  const int64_t max_bytes = model_->states->max_bytes();
  if (static_cast<int64_t>(bytes_.size()) <= max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("data: more than ", max_bytes,
                   " bytes, the maximum for a state of this model"));
}

absl::Status PutStateCall::Save() {
  RWKVD_RETURN_IF_ERROR(model_->states->Parse(bytes_, "data").status());
  RWKVD_ASSIGN_OR_RETURN(
      const SavedState saved,
      model_->states->Save(std::move(bytes_),
                           time_to_live_.value_or(absl::ZeroDuration())));
  ToProto(saved, absl::Now(), response_->mutable_state());
  return absl::OkStatus();
}

void PutStateCall::End(const absl::Status& status) {
  AddRetryPushback(status, context_);
  status_ = ToGrpcStatus(status);
  Finish(status_);
}

void PutStateCall::OnDone() {
  if (has_transfer_) model_->states->EndTransfer();
  record_.End(status_);
  delete this;
}

}  // namespace rwkvd
