// SPDX-License-Identifier: Apache-2.0
#include "service/calls/put_state_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/exceptions.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/calls/request_task.h"
#include "service/calls/response_bytes.h"
#include "service/calls/state_transfers.h"
#include "service/convert/input.h"
#include "service/convert/request_memory.h"
#include "service/convert/responses.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

namespace {

// A message with a part of a state is only copied: that is as much work as
// converting a text of this fraction of its size.
constexpr int64_t kBytesPerByteOfWork = 256;

}  // namespace

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
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      model_(environment.model),
      slots_(environment.transfers),
      context_(context),
      response_(response),
      record_(environment, Rpc::kPutState, context->peer()),
      reserved_(environment.budgets->requests.Reserve(
          0, environment.caller.message_bytes())) {}

PutStateCall::~PutStateCall() {
  if (handle_.empty() || is_answered_) return;
  model_->states->worker().Do(
      [states = model_->states.get(), handle = std::move(handle_),
       partition = environment_.caller.partition] {
        return states->Delete(handle, partition);
      },
      [](const absl::Status&) {});
}

absl::Status PutStateCall::Begin() {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  return TakeTransferSlot(this, environment_, *context_);
}

void PutStateCall::ReadNext() {
  if (!end_.Enter()) return;
  WaitForClientToSend();
  StartRead(&message_);
  end_.Leave();
  FinishIfDue();
}

void PutStateCall::OnReadDone(bool ok) {
  ClientResponded();
  if (end_.is_decided()) return;
  if (ok) {
    const absl::Status status = BeginMessage();
    if (!status.ok()) End(status);
    return;
  }
  if (context_->IsCancelled()) {
    End(CallCancelled());
    return;
  }
  Ref();  // the worker's
  model_->states->worker().Do([this] { return Save(); },
                              [this](const absl::Status& saved) {
                                End(saved);
                                Unref();
                              });
}

absl::Status PutStateCall::BeginMessage() {
  // OnCancel waits for this lock, and so for task_.
  absl::MutexLock lock(&mutex_);
  RWKVD_ASSIGN_OR_RETURN(task_,
                         AddRequestTask(
                             &message_, environment_, this,
                             [this](RequestMessage message) {
                               return TakeMessage(std::move(message));
                             },
                             [this](const absl::Status& error) { End(error); },
                             kBytesPerByteOfWork));
  return absl::OkStatus();
}

absl::Status PutStateCall::TakeMessage(RequestMessage message) {
  RWKVD_RETURN_IF_ERROR(
      CatchExceptions([&] { return AppendMessage(std::move(message)); }));
  ReadNext();
  return absl::OkStatus();
}

absl::Status PutStateCall::AppendMessage(RequestMessage message) {
  v1::PutStateRequest request;
  RWKVD_RETURN_IF_ERROR(message.ParseInto(&request));
  if (request.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        const absl::Duration requested,
        TimeToLiveFromProto("ttl_seconds", request.ttl_seconds()));
    RWKVD_ASSIGN_OR_RETURN(time_to_live_, TimeToLive(requested));
  }
  const auto size = static_cast<int64_t>(bytes_.size() + request.data().size());
  const int64_t max_bytes = model_->states->max_bytes();
  if (size > max_bytes) {
    return FieldError(
        ErrorReason::kStateInvalid, "data",
        absl::StrCat("more than ", max_bytes,
                     " bytes, the maximum for a state of this model"));
  }
  RWKVD_RETURN_IF_ERROR(MakeRoom(size));
  bytes_ += request.data();
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> PutStateCall::TimeToLive(
    std::optional<absl::Duration> requested) const {
  return TimeToLiveFor(environment_.caller, "ttl_seconds", requested,
                       model_->states->time_to_live());
}

absl::Status PutStateCall::MakeRoom(int64_t size) {
  const auto capacity = static_cast<int64_t>(bytes_.capacity());
  if (size <= capacity) return absl::OkStatus();
  // The bytes move to a string of the new capacity.
  const int64_t next =
      std::max(size, std::min(2 * capacity, model_->states->max_bytes()));
  RWKVD_RETURN_IF_ERROR(Reserve(capacity + next));
  bytes_.reserve(static_cast<size_t>(next));
  return Reserve(static_cast<int64_t>(bytes_.capacity()));
}

absl::Status PutStateCall::Reserve(int64_t bytes) {
  if (reserved_->Resize(bytes)) return absl::OkStatus();
  return InField("data",
                 OutOfRequestMemory(bytes, *reserved_->budget(),
                                    reserved_->share(), reserved_->bytes()));
}

absl::Status PutStateCall::Save() {
  const auto parsed = model_->states->Parse(bytes_, "data");
  if (!parsed.ok()) return WithField(parsed.status(), "data");
  const Caller& caller = environment_.caller;
  if (!time_to_live_.has_value()) {
    RWKVD_ASSIGN_OR_RETURN(time_to_live_, TimeToLive(std::nullopt));
  }
  RWKVD_ASSIGN_OR_RETURN(
      const SavedState saved,
      model_->states->Save(std::move(bytes_), *time_to_live_, caller.partition,
                           caller.quotas().state_bytes));
  handle_ = saved.handle;
  v1::PutStateResponse response;
  ToProto(saved, absl::Now(), response.mutable_state());
  // The response exists until the end is passed to gRPC.
  if (!end_.Enter()) return absl::OkStatus();
  *response_ = ToByteBuffer(response, ResponseCharge());
  end_.Leave();
  return absl::OkStatus();
}

bool PutStateCall::End(const absl::Status& status) {
  const bool ends = end_.Decide(status, context_);
  FinishIfDue();
  return ends;
}

bool PutStateCall::GiveUp(GiveUpReason, const absl::Status& why) {
  return End(why);
}

void PutStateCall::FinishIfDue() {
  if (!end_.TakeFinish()) return;
  // Before OnDone, since the client may call again before that is called.
  slots_->Release(this);
  WaitForClientToRead();
  Finish(record_.Finishing(end_.status(), context_));
}

void PutStateCall::OnCancel() {
  WorkPool::TaskId task;
  {
    absl::MutexLock lock(&mutex_);
    task = task_;
  }
  if (!environment_.pool->Remove(task)) return;
  End(CallCancelled());
  Unref();  // that of the task
}

void PutStateCall::OnDone() {
  slots_->Release(this);  // if it was given up before it took a slot
  const grpc::Status status = FinalStatus(end_.status());
  is_answered_ = status.ok();
  record_.End(status);
  Done();
}

}  // namespace rwkvd
