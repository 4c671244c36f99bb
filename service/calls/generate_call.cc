// SPDX-License-Identifier: Apache-2.0
#include "service/calls/generate_call.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/exceptions.h"
#include "core/base/field_error.h"
#include "core/base/monotonic_clock.h"
#include "core/base/status_macros.h"
#include "core/engine/snapshot.h"
#include "service/calls/admission.h"
#include "service/calls/delta_buffer.h"
#include "service/convert/responses.h"

namespace rwkvd {
namespace {

// Why a call with best_of is given up for the memory that it holds.
absl::Status SamplesTooLong(absl::string_view more) {
  return FieldError(
      ErrorReason::kSamplesTooLong, "best_of",
      absl::StrCat("the samples are too long to choose from", more));
}

// An upper bound on the size of the state file with the snapshot.
int64_t BytesOf(const Snapshot& snapshot) {
  constexpr int64_t kFixedBytes = 8192;  // of the header and the sampler
  return kFixedBytes + snapshot.state.bytes() +
         static_cast<int64_t>(
             snapshot.tokens.size() * sizeof(snapshot.tokens[0]) +
             snapshot.logits.size() * sizeof(snapshot.logits[0]) +
             snapshot.withheld_bytes.size() + snapshot.unfinished_text.size());
}

}  // namespace

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
  // Before the lock is taken: it may give up other calls.
  auto charge = monitor()->Charge(this, protocol_->MaxBytes(event));
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    if (gone_ || !charge.has_value()) return;
    pending_->AddPrompt(sample, event, *std::move(charge));
    CheckPending();
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::OnToken(int32_t sample, const TokenEvent& event) {
  auto charge = monitor()->Charge(this, protocol_->MaxBytes(event));
  const absl::Status in_quota = environment_.caller.TakeGenerated();
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    if (!in_quota.ok() && over_quota_.ok()) {
      over_quota_ = in_quota;
      CancelRequests();
    }
    // The engine may generate some more before it cancels the samples.
    if (!over_quota_.ok() && ++tokens_over_quota_[sample] > 1) return;
    logprob_sums_[sample] += event.logprob;
    if (gone_ || !charge.has_value()) return;
    pending_->AddToken(sample, event, *std::move(charge));
    CheckPending();
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::CheckPending() {
  if (!pending_->overflown()) return;
  monitor()->NoteGivenUp(this, GiveUpReason::kMemory);
  if (keeps_best()) {
    return GiveUpLocked(SamplesTooLong(""));
  }
  GiveUpLocked(MakeError(
      ErrorReason::kClientTooSlow,
      absl::StrCat("the client reads too slowly: it has left more than ",
                   DeltaBuffer::kMaxPendingBytes, " bytes unread")));
}

bool GenerateCall::GiveUp(GiveUpReason reason, const absl::Status& why) {
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    if (given_up_ || finish_called_) return false;
    const bool too_long = reason == GiveUpReason::kMemory && keeps_best();
    GiveUpLocked(too_long ? SamplesTooLong(absl::StrCat("; ", why.message()))
                          : why);
    action = NextAction();
  }
  Perform(action);
  return true;
}

void GenerateCall::GiveUpLocked(const absl::Status& why) {
  given_up_ = gone_ = cancelled_ = true;
  if (status_.ok()) status_ = EndStatus(why, context_);
  pending_->Clear();
  CancelRequests();
}

bool GenerateCall::IsAbandoned() {
  absl::MutexLock lock(&mutex_);
  return gone_ || cancelled_;
}

void GenerateCall::OnFinish(int32_t sample, const FinishEvent& event) {
  record_.RequestEnded(event);
  v1::Finish finish;
  ToProto(event, seed_ + sample, &finish);
  // The times of a resumed request do not cover all of its tokens.
  if (event.status.ok() && !is_resumed_) {
    metrics_->Generated(event.usage, event.times);
  }
  if (event.snapshot == nullptr) {
    return EndSample(sample, std::move(finish), event.reason, event.status);
  }
  // Suspended requests release no slots to others, so that their snapshots need
  // no memory of their own until they are serialized.
  ResponseCharge charge;
  if (event.status.ok()) {
    auto taken = monitor()->Charge(this, BytesOf(*event.snapshot));
    if (!taken.has_value()) {
      return EndSample(sample, std::move(finish), event.reason, event.status);
    }
    charge = *std::move(taken);
  }
  // Serializing takes too long for the engine's thread.
  model_->states->worker().Do([this, sample, charge = std::move(charge),
                               finish = std::move(finish),
                               snapshot = event.snapshot, reason = event.reason,
                               status = event.status]() mutable {
    DeliverAndEnd(sample, std::move(snapshot), std::move(charge),
                  std::move(finish), reason, status);
  });
}

void GenerateCall::DeliverAndEnd(int32_t sample,
                                 std::shared_ptr<const Snapshot> snapshot,
                                 ResponseCharge charge, v1::Finish finish,
                                 FinishReason reason,
                                 const absl::Status& status) {
  const absl::Status delivered = CatchExceptions([&] {
    return Deliver(sample, *snapshot, std::move(charge),
                   finish.mutable_state());
  });
  snapshot.reset();
  if (!delivered.ok()) finish.clear_state();
  EndSample(sample, std::move(finish), reason,
            delivered.ok() ? status : delivered);
}

absl::Status GenerateCall::Deliver(int32_t sample, const Snapshot& snapshot,
                                   ResponseCharge charge, v1::StateInfo* info) {
  if (charge.bytes() == 0) {
    // A suspended request waits for memory, since its client needs its state.
    auto taken = monitor()->WaitAndCharge(this, BytesOf(snapshot),
                                          [this] { return IsAbandoned(); });
    if (!taken.has_value()) {
      return monitor()->OutOfMemory(*this, BytesOf(snapshot));
    }
    charge = *std::move(taken);
  }
  RWKVD_ASSIGN_OR_RETURN(std::string bytes,
                         model_->states->Serialize(snapshot));
  if (delivery_.state_as_handle) {
    RWKVD_ASSIGN_OR_RETURN(
        const SavedState saved,
        model_->states->Save(std::move(bytes), delivery_.time_to_live,
                             environment_.caller.partition,
                             environment_.caller.quotas().state_bytes));
    ToProto(saved, absl::Now(), info);
    return absl::OkStatus();
  }
  info->set_bytes(static_cast<int64_t>(bytes.size()));
  absl::MutexLock lock(&mutex_);
  if (!gone_) pending_->AddState(sample, std::move(bytes), std::move(charge));
  return absl::OkStatus();
}

void GenerateCall::EndSample(int32_t sample, v1::Finish finish,
                             FinishReason reason,
                             const absl::Status& sample_status) {
  auto charge = monitor()->Charge(this, protocol_->MaxBytes(finish));
  Action action;
  bool is_last = false;
  {
    absl::MutexLock lock(&mutex_);
    // A sample that has ended by itself with the token that was too much is not
    // affected.
    const bool is_over_quota =
        !over_quota_.ok() &&
        (absl::IsCancelled(sample_status) || tokens_over_quota_[sample] > 1);
    const absl::Status& status = is_over_quota ? over_quota_ : sample_status;
    if (delivery_.logprobs || keeps_best()) {
      finish.set_logprob_sum(logprob_sums_[sample]);
    }
    const bool is_aborted = aborted_ && absl::IsCancelled(status);
    // A client that should retry must not have received anything before, and a
    // failed sample has no result.
    const bool has_finish =
        reason != FinishReason::kRefused && !IsFailure(reason) &&
        (status.ok() || is_aborted || protocol_->finishes_failed_samples());
    if (!gone_ && has_finish && charge.has_value()) {
      pending_->AddFinish(sample, std::move(finish), *std::move(charge));
    }
    if (status_.ok() && !is_aborted) {  // the first error is the call's status
      status_ = EndStatus(status, context_);
    }
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
  pending_->Keep(order);
}

void GenerateCall::OnWriteDone(bool ok) {
  ClientResponded();
  if (ok && !first_token_written_ && writing_.has_tokens) {
    first_token_written_ = true;
    metrics_->FirstTokenWritten(MonotonicNow() - record_.received());
  }
  Action action;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = {};
    write_under_way_ = false;
    if (!ok) {
      gone_ = true;
      pending_->Clear();
    }
    action = NextAction();
  }
  Perform(action);
}

void GenerateCall::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    CancelRequests();
  }
  if (!environment_.pool->Remove(task_)) return;
  Refuse(CallCancelled());
  Unref();  // that of the task
}

void GenerateCall::CancelRequests() {
  for (const Engine::RequestId id : ids_) model_->engine->Cancel(id);
}

void GenerateCall::OnDone() {
  record_.End(FinalStatus(status_));
  if (delivers_state_) model_->states->EndDelivery();
  protocol_->End(this);
  Done();
}

GenerateCall::Action GenerateCall::NextAction() {
  if (write_under_way_ || finish_called_) return Action::kNothing;
  if (keeps_best() && !ended_ && !given_up_) return Action::kNothing;
  if (!pending_->empty()) {
    write_under_way_ = true;
    writing_ = pending_->Pop();
    return Action::kWrite;
  }
  if (!ended_ && !given_up_) return Action::kNothing;
  finish_called_ = true;
  return Action::kFinish;
}

void GenerateCall::Perform(Action action) {
  switch (action) {
    case Action::kNothing:
      return;
    case Action::kWrite:
      record_.Writing(context_);
      WaitForClientToRead();
      return StartWrite(&writing_.bytes);
    case Action::kFinish:
      WaitForClientToRead();
      return Finish(record_.Finishing(status_, context_));
  }
}

}  // namespace rwkvd
