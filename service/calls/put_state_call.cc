// SPDX-License-Identifier: Apache-2.0
#include "service/calls/put_state_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "core/engine/retry_after.h"
#include "service/calls/admission.h"
#include "service/calls/parse_message.h"
#include "service/calls/response_bytes.h"
#include "service/calls/state_transfers.h"
#include "service/convert/input.h"
#include "service/convert/responses.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

PutStateCall* PutStateCall::Start(const CallEnvironment& environment,
                                  grpc::CallbackServerContext* context,
                                  grpc::ByteBuffer* response) {
  auto* call = new PutStateCall(environment, context, response);
  const absl::Status status = call->Begin();
  if (status.ok()) {
    call->ReadNext();
  } else {
    call->End(status);
  }
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

PutStateCall::PutStateCall(const CallEnvironment& environment,
                           grpc::CallbackServerContext* context,
                           grpc::ByteBuffer* response)
    : MonitoredCall(environment.monitor, context),
      model_(environment.model),
      slots_(environment.transfers),
      context_(context),
      response_(response),
      record_(environment.metrics, Rpc::kPutState),
      reserved_(environment.budgets->requests.Reserve(0)) {}

absl::Status PutStateCall::Begin() {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  return TakeTransferSlot(this, *context_, slots_);
}

void PutStateCall::ReadNext() {
  WaitForClientToSend();
  StartRead(&request_);
}

void PutStateCall::OnReadDone(bool ok) {
  ClientResponded();
  if (has_ended()) return;
  if (ok) {
    const absl::Status status = AppendMessage();
    if (status.ok()) {
      ReadNext();
    } else {
      End(status);
    }
    return;
  }
  if (context_->IsCancelled()) {
    End(absl::CancelledError("cancelled"));
    return;
  }
  Ref();  // the worker's
  model_->states->worker().Do([this] {
    End(Save());
    Unref();
  });
}

absl::Status PutStateCall::AppendMessage() {
  const auto capacity = static_cast<int64_t>(bytes_.capacity());
  // The message, and what is parsed from it.
  RWKVD_RETURN_IF_ERROR(
      Reserve(capacity + 2 * static_cast<int64_t>(request_.Length())));
  v1::PutStateRequest request;
  RWKVD_RETURN_IF_ERROR(ParseMessage(request_, &request));
  request_.Clear();
  if (request.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        time_to_live_,
        TimeToLiveFromProto("ttl_seconds", request.ttl_seconds()));
  }
  const auto size = static_cast<int64_t>(bytes_.size() + request.data().size());
  const int64_t max_bytes = model_->states->max_bytes();
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("data: more than ", max_bytes,
                     " bytes, the maximum for a state of this model"));
  }
  if (size > capacity) {
    // Appending moves the bytes to a string of the new capacity.
    const int64_t next = std::min(std::max(size, 2 * capacity), max_bytes);
    RWKVD_RETURN_IF_ERROR(Reserve(reserved_->bytes() + next));
    bytes_.reserve(static_cast<size_t>(next));
  }
  bytes_ += request.data();
  return Reserve(static_cast<int64_t>(bytes_.capacity()));
}

absl::Status PutStateCall::Reserve(int64_t bytes) {
  if (reserved_->Resize(bytes)) return absl::OkStatus();
  return WithRetryAfter(
      absl::ResourceExhaustedError(absl::StrCat(
          "data: the server has no memory left for this request, which needs ",
          bytes, " bytes")),
      kTransferRetryAfter);
}

absl::Status PutStateCall::Save() {
  RWKVD_RETURN_IF_ERROR(model_->states->Parse(bytes_, "data").status());
  RWKVD_ASSIGN_OR_RETURN(
      const SavedState saved,
      model_->states->Save(std::move(bytes_),
                           time_to_live_.value_or(absl::ZeroDuration())));
  v1::PutStateResponse response;
  ToProto(saved, absl::Now(), response.mutable_state());
  absl::MutexLock lock(&mutex_);
  if (!has_ended_) *response_ = ToByteBuffer(response, ResponseCharge());
  return absl::OkStatus();
}

bool PutStateCall::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (has_ended_) return false;
    AddRetryPushback(status, context_);
    status_ = ToGrpcStatus(status);
    has_ended_ = true;
  }
  Finish(status_);
  return true;
}

bool PutStateCall::GiveUp(GiveUpReason, const absl::Status& why) {
  return End(why);
}

bool PutStateCall::has_ended() {
  absl::MutexLock lock(&mutex_);
  return has_ended_;
}

void PutStateCall::OnDone() {
  slots_->Release(this);
  record_.End(FinalStatus(status_));
  Done();
}

}  // namespace rwkvd
