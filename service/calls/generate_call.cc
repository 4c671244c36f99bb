// SPDX-License-Identifier: Apache-2.0
#include "service/calls/generate_call.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/convert/convert.h"

namespace rwkvd {
namespace {

grpc::Status TooMuchUnread(bool keeps_best) {
  return {grpc::StatusCode::RESOURCE_EXHAUSTED,
          keeps_best ? "best_of: the samples are too long to choose from"
                     : "the client reads too slowly"};
}

}  // namespace

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
  RWKVD_ASSIGN_OR_RETURN(samples_,
                         SamplesFromProto(request, LimitsOf(*model_)));
  RWKVD_ASSIGN_OR_RETURN(delivery_,
                         ReadStates(request, *model_->states, &native));
  native.received = record_.received();
  native.deadline = DeadlineOf(*context_);
  with_logprob_ = native.want_logprobs;
  seed_ = native.sampling.seed;
  if (keeps_best()) native.want_logprobs = true;
  if (keeps_best() && native.echo) {
    return absl::InvalidArgumentError("echo: not together with best_of");
  }
  std::vector<GenerateSink*> sinks;
  for (int32_t i = 0; i < samples_.drawn; ++i) {
    sinks_.push_back(std::make_unique<Sample>(this, i));
    sinks.push_back(sinks_.back().get());
  }
  {
    absl::MutexLock lock(&mutex_);
    pending_ = DeltaBuffer(samples_.drawn);
    logprob_sums_.resize(samples_.drawn);
  }
  is_resumed_ = native.resume;
  delivers_ = native.snapshot_at_end || native.snapshot_on_drain;
  if (delivers_) model_->states->BeginDelivery();
  refs_.fetch_add(1, std::memory_order_relaxed);  // the engine's
  absl::StatusOr<std::vector<Engine::RequestId>> ids =
      model_->engine->Submit(std::move(native), sinks);
  if (!ids.ok()) {
    refs_.fetch_sub(1, std::memory_order_relaxed);
    return NameGenerateField(ids.status());
  }
  ids_ = *std::move(ids);
  return absl::OkStatus();
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
  {
    absl::MutexLock lock(&mutex_);
    if (gone_) return;
    pending_.AddPrompt(sample, event);
  }
  SendOrGiveUp();
}

void GenerateCall::OnToken(int32_t sample, const TokenEvent& event) {
  {
    absl::MutexLock lock(&mutex_);
    logprob_sums_[sample] += event.logprob;
    if (gone_) return;
    pending_.AddToken(sample, event, with_logprob_);
  }
  SendOrGiveUp();
}

void GenerateCall::SendOrGiveUp() {
  bool give_up = false;
  {
    absl::MutexLock lock(&mutex_);
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

void GenerateCall::OnFinish(int32_t sample, const FinishEvent& event) {
  v1::Finish finish;
  ToProto(event, seed_ + sample, &finish);
  // The tokens of a resumed request are not all of these times.
  if (event.status.ok() && !is_resumed_) {
    metrics_->Generated(event.usage, event.times);
  }
  if (event.snapshot == nullptr) {
    return EndSample(sample, std::move(finish), event.reason, event.status);
  }
  // To put it into bytes takes its time, which the engine does not have.
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
  if (delivery_.as_handle) {
    RWKVD_ASSIGN_OR_RETURN(
        const KeptState kept,
        model_->states->Keep(std::move(bytes), delivery_.time_to_live));
    ToProto(kept, absl::Now(), info);
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
  bool is_last = false;
  {
    absl::MutexLock lock(&mutex_);
    if (with_logprob_ || keeps_best()) {
      finish.set_logprob_sum(logprob_sums_[sample]);
    }
    // A client that is to try again must not have got anything before.
    const bool refused = reason == FinishReason::kRefused;
    if (!gone_ && !refused) pending_.AddFinish(sample, std::move(finish));
    if (status_.ok()) {  // the first that was ended early tells why
      AddRetryPushback(status, context_);
      status_ = EndStatus(status, *context_);
    }
    if (too_slow_) status_ = TooMuchUnread(keeps_best());
    is_last = ended_ = ++num_ended_ == samples_.drawn;
    if (is_last && keeps_best()) KeepBest();
  }
  Advance();
  if (is_last) Unref();
}

void GenerateCall::KeepBest() {
  std::vector<int32_t> order(samples_.drawn);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    mutex_.AssertHeld();
    return logprob_sums_[a] > logprob_sums_[b];
  });
  // Of samples that were ended early none is the best.
  order.resize(status_.ok() ? samples_.returned : 0);
  pending_.Keep(order);
}

void GenerateCall::OnWriteDone(bool ok) {
  if (ok && !first_token_written_ && writing_.delta().tokens_size() > 0) {
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
  for (const Engine::RequestId id : ids_) model_->engine->Cancel(id);
}

void GenerateCall::OnDone() {
  record_.End(status_);
  if (delivers_) model_->states->EndDelivery();
  Unref();
}

void GenerateCall::Advance() {
  bool write = false;
  {
    absl::MutexLock lock(&mutex_);
    if (write_under_way_ || finish_called_) return;
    if (keeps_best() && !ended_) return;
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
