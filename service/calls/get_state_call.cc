// SPDX-License-Identifier: Apache-2.0
#include "service/calls/get_state_call.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "core/engine/retry_after.h"
#include "service/calls/admission.h"
#include "service/calls/parse_message.h"
#include "service/calls/response_bytes.h"
#include "service/calls/state_transfers.h"
#include "service/convert/responses.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

GetStateCall* GetStateCall::Start(const CallEnvironment& environment,
                                  grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* message) {
  auto* call = new GetStateCall(environment, context);
  const absl::Status status = call->Begin(message);
  if (!status.ok()) call->End(status);
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

GetStateCall::GetStateCall(const CallEnvironment& environment,
                           grpc::CallbackServerContext* context)
    : MonitoredCall(environment.monitor, context),
      model_(environment.model),
      context_(context),
      slots_(environment.transfers),
      record_(environment.metrics, Rpc::kGetState) {}

absl::Status GetStateCall::Begin(const grpc::ByteBuffer* message) {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  v1::GetStateRequest request;
  RWKVD_RETURN_IF_ERROR(ParseMessage(*message, &request));
  RWKVD_RETURN_IF_ERROR(TakeTransferSlot(this, *context_, slots_));
  const int64_t max_bytes = model_->states->max_bytes();
  std::optional<ResponseCharge> charge = monitor()->TryCharge(this, max_bytes);
  if (!charge.has_value()) {
    return WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(
            "a state may have ", max_bytes,
            " bytes, and responses that clients have not read leave too little "
            "memory for them")),
        kTransferRetryAfter);
  }
  Ref();  // the worker's
  model_->states->worker().Do(
      [this, handle = request.handle(), charge = *std::move(charge)]() mutable {
        const absl::Status status = Load(handle, std::move(charge));
        if (status.ok()) {
          SendNext();
        } else {
          End(status);
        }
        Unref();
      });
  return absl::OkStatus();
}

absl::Status GetStateCall::Load(const std::string& handle,
                                ResponseCharge charge) {
  RWKVD_ASSIGN_OR_RETURN(std::shared_ptr<const std::string> bytes,
                         model_->states->Fetch(handle));
  charge.ShrinkTo(
      std::min(charge.bytes(), static_cast<int64_t>(bytes->size())));
  absl::MutexLock lock(&mutex_);
  if (has_ended_) return absl::OkStatus();
  contents_ = std::make_shared<const Contents>(
      Contents{std::move(bytes), std::move(charge)});
  return absl::OkStatus();
}

void GetStateCall::SendNext() {
  bool has_data = false;
  {
    absl::MutexLock lock(&mutex_);
    if (has_ended_) return;
    const absl::string_view data =
        absl::ClippedSubstr(*contents_->bytes, sent_, kStateChunkBytes);
    has_data = write_under_way_ = !data.empty();
    if (has_data) {
      sent_ += data.size();
      std::string header;
      AppendFieldHeader(v1::GetStateResponse::kDataFieldNumber, data.size(),
                        &header);
      const grpc::Slice slices[] = {grpc::Slice(header),
                                    SliceOf(data, contents_)};
      response_ = grpc::ByteBuffer(slices, std::size(slices));
    }
  }
  if (!has_data) return End(absl::OkStatus());
  WaitForClientToRead();
  StartWrite(&response_);
}

void GetStateCall::OnWriteDone(bool ok) {
  ClientResponded();
  response_.Clear();
  bool must_finish = false;
  {
    absl::MutexLock lock(&mutex_);
    write_under_way_ = false;
    must_finish = has_ended_ && !finish_called_;
    if (must_finish) finish_called_ = true;
  }
  if (must_finish) return Finish(status_);
  if (ok) {
    SendNext();
  } else {
    End(absl::CancelledError("cancelled"));
  }
}

void GetStateCall::End(const absl::Status& status) {
  bool must_finish = false;
  {
    absl::MutexLock lock(&mutex_);
    if (has_ended_) return;
    must_finish = SetEnd(status);
  }
  if (must_finish) Finish(status_);
}

bool GetStateCall::GiveUp(GiveUpReason, const absl::Status& why) {
  bool must_finish = false;
  {
    absl::MutexLock lock(&mutex_);
    if (has_ended_) return false;
    must_finish = SetEnd(why);
  }
  if (must_finish) Finish(status_);
  return true;
}

bool GetStateCall::SetEnd(const absl::Status& status) {
  AddRetryPushback(status, context_);
  status_ = ToGrpcStatus(status);
  has_ended_ = true;
  contents_.reset();
  finish_called_ = !write_under_way_;
  return finish_called_;
}

void GetStateCall::OnDone() {
  slots_->Release(this);
  record_.End(FinalStatus(status_));
  Done();
}

}  // namespace rwkvd
