// SPDX-License-Identifier: Apache-2.0
#include "service/calls/get_state_call.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/calls/request_task.h"
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
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      model_(environment.model),
      context_(context),
      slots_(environment.transfers),
      record_(environment, Rpc::kGetState, context->peer()) {}

absl::Status GetStateCall::Begin(const grpc::ByteBuffer* message) {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  RWKVD_RETURN_IF_ERROR(TakeTransferSlot(this, environment_, *context_));
  RWKVD_ASSIGN_OR_RETURN(
      task_,
      AddRequestTask(
          message, environment_, this,
          [this](RequestMessage request) { return Parse(std::move(request)); },
          [this](const absl::Status& error) { End(error); }));
  return absl::OkStatus();
}

absl::Status GetStateCall::Parse(RequestMessage message) {
  v1::GetStateRequest request;
  RWKVD_RETURN_IF_ERROR(message.ParseInto(&request));
  const int64_t max_bytes = model_->states->max_bytes();
  std::optional<ResponseCharge> charge = monitor()->TryCharge(this, max_bytes);
  if (!charge.has_value()) {
    const absl::Status error = monitor()->OutOfMemory(*this, max_bytes);
    monitor()->MakeRoom(*this, max_bytes);
    return error;
  }
  Ref();  // the worker's
  model_->states->worker().Do(
      [this, handle = request.handle(), charge = *std::move(charge)]() mutable {
        return Load(handle, std::move(charge));
      },
      [this](const absl::Status& loaded) {
        if (loaded.ok()) {
          SendNext();
        } else {
          End(loaded);
        }
        Unref();
      });
  return absl::OkStatus();
}

absl::Status GetStateCall::Load(const std::string& handle,
                                ResponseCharge charge) {
  RWKVD_ASSIGN_OR_RETURN(
      std::shared_ptr<const std::string> bytes,
      model_->states->Fetch(handle, environment_.caller.partition));
  charge.ShrinkTo(
      std::min(charge.bytes(), static_cast<int64_t>(bytes->size())));
  absl::MutexLock lock(&mutex_);
  contents_ = std::make_shared<const Contents>(
      Contents{std::move(bytes), std::move(charge)});
  return absl::OkStatus();
}

void GetStateCall::SendNext() {
  if (!end_.Enter()) return Drop();
  {
    absl::MutexLock lock(&mutex_);
    const absl::string_view data =
        absl::ClippedSubstr(*contents_->bytes, sent_, kStateChunkBytes);
    sent_ += data.size();
    if (!data.empty()) {
      std::string header;
      AppendFieldHeader(v1::GetStateResponse::kDataFieldNumber, data.size(),
                        &header);
      const grpc::Slice slices[] = {grpc::Slice(header),
                                    SliceOf(data, contents_)};
      response_ = grpc::ByteBuffer(slices, std::size(slices));
    }
  }
  if (!response_.Valid()) {
    end_.Leave();
    return End(absl::OkStatus());
  }
  record_.Writing(context_);
  WaitForClientToRead();
  StartWrite(&response_);
}

void GetStateCall::OnWriteDone(bool ok) {
  ClientResponded();
  response_.Clear();
  end_.Leave();
  if (end_.is_decided()) return FinishIfDue();
  if (ok) {
    SendNext();
  } else {
    End(CallCancelled());
  }
}

void GetStateCall::Drop() {
  absl::MutexLock lock(&mutex_);
  contents_.reset();
}

void GetStateCall::End(const absl::Status& status) {
  if (!end_.Decide(status, context_)) return;
  Drop();
  FinishIfDue();
}

bool GetStateCall::GiveUp(GiveUpReason, const absl::Status& why) {
  if (!end_.Decide(why, context_)) return false;
  Drop();
  FinishIfDue();
  return true;
}

void GetStateCall::FinishIfDue() {
  if (!end_.TakeFinish()) return;
  // Before OnDone, since the client may call again before that is called.
  slots_->Release(this);
  WaitForClientToRead();
  Finish(record_.Finishing(end_.status(), context_));
}

void GetStateCall::OnCancel() {
  if (!environment_.pool->Remove(task_)) return;
  End(CallCancelled());
  Unref();  // that of the task
}

void GetStateCall::OnDone() {
  slots_->Release(this);  // if it was given up before it took a slot
  record_.End(FinalStatus(end_.status()));
  Done();
}

}  // namespace rwkvd
