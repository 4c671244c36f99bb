// SPDX-License-Identifier: Apache-2.0
//
// The first half of a Generate call: from its message to Engine::Submit, and
// how other calls abort it.
#include <utility>

#include "cli/grpc_status.h"
#include "core/base/exceptions.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/calls/generate_call.h"
#include "service/calls/request_task.h"
#include "service/convert/answer_size.h"

namespace rwkvd {
namespace {

// PermissionDenied if a request uses what the role of its method does not
// cover.
absl::Status CheckRoles(const GenerateInput& input, const Caller& caller) {
  if (input.request.pin.has_value()) {
    RWKVD_RETURN_IF_ERROR(caller.Require(Role::kPins, "a pin"));
  }
  const bool uses_store =
      !input.state_handle.empty() || input.delivery.state_as_handle;
  if (!uses_store) return absl::OkStatus();
  return caller.Require(Role::kStates, "the handle of a state");
}

}  // namespace

GenerateCall* GenerateCall::Start(const CallEnvironment& environment,
                                  grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* message,
                                  std::unique_ptr<GenerateProtocol> protocol) {
  auto* call = new GenerateCall(environment, context, std::move(protocol));
  const absl::Status status = call->Begin(message);
  if (!status.ok()) call->Refuse(status);
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

GenerateCall::GenerateCall(const CallEnvironment& environment,
                           grpc::CallbackServerContext* context,
                           std::unique_ptr<GenerateProtocol> protocol)
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      model_(environment.model),
      metrics_(environment.metrics),
      context_(context),
      protocol_(std::move(protocol)),
      record_(environment, protocol_->rpc(), context->peer()),
      pending_(protocol_->NewMessages(1)) {}

absl::Status GenerateCall::Begin(const grpc::ByteBuffer* message) {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  RWKVD_ASSIGN_OR_RETURN(
      task_, AddRequestTask(
                 message, environment_, this,
                 [this](RequestMessage request) {
                   return Convert(std::move(request));
                 },
                 [this](const absl::Status& error) { Refuse(error); }));
  return absl::OkStatus();
}

absl::Status GenerateCall::Convert(RequestMessage message) {
  RWKVD_RETURN_IF_ERROR(model_->engine->CheckAccepting());
  absl::StatusOr<GenerateInput> converted =
      CatchExceptions([&] { return protocol_->Convert(*model_, &message); });
  if (!converted.ok()) return converted.status();
  GenerateInput& input = *converted;
  GenerateRequest& request = input.request;
  const Caller& caller = environment_.caller;
  RWKVD_RETURN_IF_ERROR(CheckRoles(input, caller));
  request.cache_partition = caller.partition;
  request.flow = FlowOf(caller);
  RWKVD_RETURN_IF_ERROR(LimitPinAndState(&input));
  RWKVD_RETURN_IF_ERROR(monitor()->NameQuota(*this, CheckSize(input)));
  request.received = record_.received();
  request.deadline = DeadlineOf(*context_);
  record_.Describe(request, input.samples.generated);
  absl::StatusOr<Engine::Reservation> reservation =
      model_->engine->Reserve(request, input.samples.generated);
  samples_ = input.samples;
  if (!reservation.ok()) return protocol_->NameField(reservation.status());
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  RWKVD_RETURN_IF_ERROR(caller.CheckGenerated());
  RWKVD_RETURN_IF_ERROR(caller.TakePrompt(prompt_tokens));
  prompt_tokens_ = prompt_tokens;
  delivery_ = input.delivery;
  is_resumed_ = request.resume;
  delivers_state_ = request.snapshot_at_end || request.snapshot_on_drain;
  if (delivers_state_) model_->states->BeginDelivery();
  if (input.state_handle.empty()) {
    return Submit(*std::move(reservation), std::move(request));
  }
  Ref();  // the worker's
  model_->states->worker().Do([this, handle = std::move(input.state_handle),
                               reservation = *std::move(reservation),
                               request = std::move(request)]() mutable {
    const absl::Status status =
        LoadAndSubmit(handle, std::move(reservation), std::move(request));
    if (!status.ok()) Refuse(status);
    Unref();
  });
  return absl::OkStatus();
}

absl::Status GenerateCall::LimitPinAndState(GenerateInput* input) const {
  const Caller& caller = environment_.caller;
  const auto requested = [](absl::Duration time, absl::Duration unset) {
    return time == unset ? std::nullopt : std::make_optional(time);
  };
  if (std::optional<PinRequest>& pin = input->request.pin; pin.has_value()) {
    pin->max_names = caller.quotas().max_pins;
    constexpr absl::Duration kUnset = absl::InfiniteDuration();
    RWKVD_ASSIGN_OR_RETURN(
        pin->time_to_live,
        TimeToLiveFor(caller, "pin.ttl_seconds",
                      requested(pin->time_to_live, kUnset), kUnset));
  }
  Delivery& delivery = input->delivery;
  if (!delivery.state_as_handle) return absl::OkStatus();
  RWKVD_ASSIGN_OR_RETURN(
      delivery.time_to_live,
      TimeToLiveFor(caller, "return_state.ttl_seconds",
                    requested(delivery.time_to_live, absl::ZeroDuration()),
                    model_->states->time_to_live()));
  return absl::OkStatus();
}

absl::Status GenerateCall::CheckSize(const GenerateInput& input) const {
  const int64_t max_bytes = monitor()->max_response_bytes(*this);
  RWKVD_RETURN_IF_ERROR(protocol_->CheckAnswer(input, max_bytes));
  return protocol_->NameField(CheckAnswerSize(
      input,
      static_cast<int64_t>(model_->engine->initial_states()[0].state.bytes()),
      max_bytes));
}

absl::Status GenerateCall::LoadAndSubmit(const std::string& state_handle,
                                         Engine::Reservation reservation,
                                         GenerateRequest request) {
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return CallCancelled();
  }
  auto start = CatchExceptions([&] {
    return model_->states->Load(state_handle, environment_.caller.partition);
  });
  if (!start.ok()) return InField("state_handle", start.status());
  request.start = *std::move(start);
  if (request.resume) request.sampling.seed = request.start->seed;
  return Submit(std::move(reservation), std::move(request));
}

absl::Status GenerateCall::Submit(Engine::Reservation reservation,
                                  GenerateRequest request) {
  seed_ = request.sampling.seed;
  std::vector<GenerateSink*> sinks;
  for (int32_t i = 0; i < samples_.generated; ++i) {
    sinks_.push_back(std::make_unique<Sample>(this, i));
    sinks.push_back(sinks_.back().get());
  }
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return CallCancelled();
    protocol_->Begin(this);  // under the lock, so that OnDone is later
    pending_ = protocol_->NewMessages(samples_.generated);
    logprob_sums_.resize(samples_.generated);
    tokens_over_quota_.resize(samples_.generated);
  }
  Ref();  // the engine's
  // Not under the lock: OnCancel must not wait while the engine makes the
  // sequences, and the engine may call before Submit returns.
  absl::StatusOr<std::vector<Engine::RequestId>> ids =
      model_->engine->Submit(std::move(reservation), std::move(request), sinks);
  if (!ids.ok()) {
    Unref();
    return protocol_->NameField(ids.status());
  }
  absl::MutexLock lock(&mutex_);
  ids_ = *std::move(ids);
  // The engine may have sent tokens before.
  if (cancelled_ || !over_quota_.ok()) CancelRequests();
  return absl::OkStatus();
}

void GenerateCall::Abort() {
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return;
  aborted_ = cancelled_ = true;
  CancelRequests();
}

void GenerateCall::Refuse(const absl::Status& status) {
  environment_.caller.ReturnPrompt(std::exchange(prompt_tokens_, 0));
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    if (!given_up_) {
      status_ = EndStatus(status, context_);
    }
    ended_ = true;
    action = NextAction();
  }
  Perform(action);
}

}  // namespace rwkvd
