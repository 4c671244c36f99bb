// SPDX-License-Identifier: Apache-2.0
#include "service/calls/generate_call.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/monotonic_clock.h"
#include "core/base/status_macros.h"
#include "core/engine/retry_after.h"
#include "service/calls/admission.h"
#include "service/convert/responses.h"

namespace rwkvd {
namespace {

grpc::Status TooMuchUnread(bool keeps_best) {
  return {grpc::StatusCode::RESOURCE_EXHAUSTED,
          keeps_best ? "best_of: the samples are too long to choose from"
                     : "the client reads too slowly"};
}

// `status` with the name of the field before its message.
absl::Status InField(absl::string_view field, const absl::Status& status) {
  const absl::Status named(status.code(),
                           absl::StrCat(field, ": ", status.message()));
  const auto retry_after = RetryAfter(status);
  return retry_after.has_value() ? WithRetryAfter(named, *retry_after) : named;
}

}  // namespace

GenerateCall* GenerateCall::Start(const ServedModel* model, Metrics* metrics,
                                  grpc::CallbackServerContext* context,
                                  const v1::GenerateRequest& request) {
  auto* call = new GenerateCall(model, metrics, context);
  const absl::Status status = call->Begin(request);
  if (!status.ok()) call->Refuse(status);
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

GenerateCall::GenerateCall(const ServedModel* model, Metrics* metrics,
                           grpc::CallbackServerContext* context)
    : model_(model),
      metrics_(metrics),
      context_(context),
      record_(metrics, Rpc::kGenerate) {}

absl::Status GenerateCall::Begin(const v1::GenerateRequest& proto) {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  RWKVD_ASSIGN_OR_RETURN(GenerateInput input,
                         FromProto(proto, LimitsOf(*model_)));
  GenerateRequest& request = input.request;
  request.received = record_.received();
  request.deadline = DeadlineOf(*context_);
  absl::StatusOr<Engine::Reservation> reservation =
      model_->engine->Reserve(request, input.samples.generated);
  samples_ = input.samples;
  if (!reservation.ok()) {
    return NameGenerateField(reservation.status(), samples_);
  }
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

absl::Status GenerateCall::LoadAndSubmit(const std::string& state_handle,
                                         Engine::Reservation reservation,
                                         GenerateRequest request) {
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return absl::CancelledError("cancelled");
  }
  auto start = model_->states->Load(state_handle);
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
  // The engine's first event waits for the lock, and so for ids_.
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return absl::CancelledError("cancelled");
  pending_ = DeltaBuffer(samples_.generated);
  logprob_sums_.resize(samples_.generated);
  Ref();  // the engine's
  absl::StatusOr<std::vector<Engine::RequestId>> ids =
      model_->engine->Submit(std::move(reservation), std::move(request), sinks);
  if (!ids.ok()) {
    refs_.fetch_sub(1, std::memory_order_relaxed);
    return NameGenerateField(ids.status(), samples_);
  }
  ids_ = *std::move(ids);
  return absl::OkStatus();
}

void GenerateCall::Refuse(const absl::Status& status) {
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    AddRetryPushback(status, context_);
    status_ = EndStatus(status, *context_);
    ended_ = true;
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::Sample::OnPrompt(const PromptEvent& event) {
  call_->OnPrompt(index_, event);
}

void GenerateCall::Sample::OnToken(const TokenEvent& event) {
  call_->OnToken(index_, event);
}

void GenerateCall::Sample::OnFinish(const FinishEvent& event) {
  call_->OnFinish(index_, event);
}

void GenerateCall::OnPrompt(int32_t sample, const PromptEvent& event) {
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    if (gone_) return;
    pending_.AddPrompt(sample, event);
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::OnToken(int32_t sample, const TokenEvent& event) {
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    logprob_sums_[sample] += event.logprob;
    if (gone_) return;
    pending_.AddToken(sample, event, delivery_.logprobs);
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::OnFinish(int32_t sample, const FinishEvent& event) {
  v1::Finish finish;
  ToProto(event, seed_ + sample, &finish);
  // The times of a resumed request do not cover all of its tokens.
  if (event.status.ok() && !is_resumed_) {
    metrics_->Generated(event.usage, event.times);
  }
  if (event.snapshot == nullptr) {
    return EndSample(sample, std::move(finish), event.reason, event.status);
  }
  // Serializing takes too long for the engine's thread.
  model_->states->worker().Do([this, sample, finish = std::move(finish),
                               snapshot = event.snapshot, reason = event.reason,
                               status = event.status]() mutable {
    const absl::Status delivered =
        Deliver(sample, *snapshot, finish.mutable_state());
    if (!delivered.ok()) finish.clear_state();
    EndSample(sample, std::move(finish), reason,
              delivered.ok() ? status : delivered);
  });
}

absl::Status GenerateCall::Deliver(int32_t sample, const Snapshot& snapshot,
                                   v1::StateInfo* info) {
  RWKVD_ASSIGN_OR_RETURN(std::string bytes,
                         model_->states->Serialize(snapshot));
  if (delivery_.state_as_handle) {
    RWKVD_ASSIGN_OR_RETURN(
        const SavedState saved,
        model_->states->Save(std::move(bytes), delivery_.time_to_live));
    ToProto(saved, absl::Now(), info);
    return absl::OkStatus();
  }
  info->set_bytes(static_cast<int64_t>(bytes.size()));
  absl::MutexLock lock(&mutex_);
  if (!gone_) {
    pending_.AddState(sample,
                      std::make_shared<const std::string>(std::move(bytes)));
  }
  return absl::OkStatus();
}

void GenerateCall::EndSample(int32_t sample, v1::Finish finish,
                             FinishReason reason, const absl::Status& status) {
  Action action;
  bool is_last = false;
  {
    absl::MutexLock lock(&mutex_);
    if (delivery_.logprobs || keeps_best()) {
      finish.set_logprob_sum(logprob_sums_[sample]);
    }
    // A client that should retry must not have received anything before, and a
    // failed sample has no result.
    const bool has_finish =
        reason != FinishReason::kRefused && reason != FinishReason::kFailed;
    if (!gone_ && has_finish) pending_.AddFinish(sample, std::move(finish));
    if (status_.ok()) {  // the first error is the status of the call
      AddRetryPushback(status, context_);
      status_ = EndStatus(status, *context_);
    }
    if (too_slow_) status_ = TooMuchUnread(keeps_best());
    is_last = ended_ = ++num_ended_ == samples_.generated;
    if (is_last && keeps_best()) KeepBest();
    action = NextAction();
  }
  Perform(action);
  if (is_last) Unref();
}

void GenerateCall::KeepBest() {
  std::vector<int32_t> order(samples_.generated);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    mutex_.AssertHeld();
    return logprob_sums_[a] > logprob_sums_[b];
  });
  // If a sample failed, there is no best one.
  order.resize(status_.ok() ? samples_.returned : 0);
  pending_.Keep(order);
}

void GenerateCall::OnWriteDone(bool ok) {
  if (ok && !first_token_written_ && writing_.delta().tokens_size() > 0) {
    first_token_written_ = true;
    metrics_->FirstTokenWritten(MonotonicNow() - record_.received());
  }
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    write_under_way_ = false;
    if (!ok) {
      gone_ = true;
      pending_.Clear();
    }
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::OnCancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (const Engine::RequestId id : ids_) model_->engine->Cancel(id);
}

void GenerateCall::OnDone() {
  record_.End(status_);
  if (delivers_state_) model_->states->EndDelivery();
  Unref();
}

GenerateCall::Action GenerateCall::NextAction() {
  if (pending_.overflown()) {
    gone_ = too_slow_ = true;
    pending_.Clear();
    return Action::kCancel;
  }
  if (write_under_way_ || finish_called_) return Action::kNothing;
  if (keeps_best() && !ended_) return Action::kNothing;
  if (!pending_.empty()) {
    write_under_way_ = true;
    writing_ = pending_.Pop();
    return Action::kWrite;
  }
  if (!ended_) return Action::kNothing;
  finish_called_ = true;
  return Action::kFinish;
}

void GenerateCall::Perform(Action action) {
  switch (action) {
    case Action::kNothing:
      return;
    case Action::kWrite:
      return StartWrite(&writing_);
    case Action::kFinish:
      return Finish(status_);
    case Action::kCancel:
      return context_->TryCancel();  // OnCancel then cancels the requests
  }
}

void GenerateCall::Unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace rwkvd
