// SPDX-License-Identifier: Apache-2.0
#include "service/calls/score_document_call.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cli/grpc_status.h"
#include "core/base/check.h"
#include "core/base/monotonic_clock.h"
#include "core/base/status_macros.h"
#include "core/engine/retry_after.h"
#include "service/calls/admission.h"
#include "service/convert/responses.h"
#include "service/convert/score_request.h"
#include "service/states/initial_states.h"

namespace rwkvd {
namespace {

// When a client should retry if too many documents are being scored.
constexpr absl::Duration kRetryAfter = absl::Seconds(5);

void Add(const Times& times, v1::Times* sum) {
  sum->set_queue_seconds(sum->queue_seconds() +
                         absl::ToDoubleSeconds(times.queue));
  sum->set_prefill_seconds(sum->prefill_seconds() +
                           absl::ToDoubleSeconds(times.prefill));
  sum->set_decode_seconds(sum->decode_seconds() +
                          absl::ToDoubleSeconds(times.decode));
}

}  // namespace

ScoreDocumentCall* ScoreDocumentCall::Start(
    const ServedModel* model, Metrics* metrics,
    grpc::CallbackServerContext* context, std::atomic<int32_t>* num_open) {
  auto* call = new ScoreDocumentCall(model, metrics, context, num_open);
  const absl::Status status = call->CheckOpen();
  if (status.ok()) {
    call->StartRead(&call->request_);
  } else {
    call->End(status);
  }
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

ScoreDocumentCall::ScoreDocumentCall(const ServedModel* model, Metrics* metrics,
                                     grpc::CallbackServerContext* context,
                                     std::atomic<int32_t>* num_open)
    : model_(model),
      context_(context),
      num_open_(num_open),
      record_(metrics, Rpc::kScoreDocument) {
  num_open_->fetch_add(1, std::memory_order_relaxed);
}

ScoreDocumentCall::~ScoreDocumentCall() {
  num_open_->fetch_sub(1, std::memory_order_relaxed);
}

absl::Status ScoreDocumentCall::CheckOpen() const {
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is being loaded");
  }
  const int32_t most = model_->engine->options().max_running;
  if (num_open_->load(std::memory_order_relaxed) <= most) {
    return absl::OkStatus();
  }
  return WithRetryAfter(
      absl::ResourceExhaustedError(absl::StrCat(
          "too many documents are being scored: the limit is ", most)),
      kRetryAfter);
}

void ScoreDocumentCall::OnReadDone(bool ok) {
  if (!ok && context_->IsCancelled()) {
    End(absl::CancelledError("cancelled"));
    return;
  }
  if (!ok) {
    WriteTotal();
    return;
  }
  const absl::Status status = SubmitPart();
  if (!status.ok()) End(status);
}

absl::Status ScoreDocumentCall::SubmitPart() {
  const RequestLimits limits = LimitsOf(*model_);
  if (!has_begun_) {
    has_begun_ = true;
    with_tokens_ = request_.token_scores();
    RWKVD_ASSIGN_OR_RETURN(
        initial_state_,
        FindInitialState(limits.initial_states, request_.initial_state()));
  }
  RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         PartFromProto(request_.part(), limits));
  request_.Clear();
  if (!tokens.empty()) return Submit(std::move(tokens));
  StartRead(&request_);
  return absl::OkStatus();
}

absl::Status ScoreDocumentCall::Submit(std::vector<int32_t> tokens) {
  ScoreRequest request;
  request.continues = last_token_.has_value();
  if (last_token_.has_value()) {
    request.items[0].context = {*last_token_};
    request.start = std::move(state_);
  }
  request.initial_state = initial_state_;
  request.items[0].continuations.push_back(std::move(tokens));
  request.use_state_cache = false;
  request.received = MonotonicNow();
  request.deadline = DeadlineOf(*context_);
  refs_.fetch_add(1, std::memory_order_relaxed);  // the engine's
  // The engine may finish the request before Submit returns; OnFinish then
  // waits for this lock.
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<Engine::RequestId> id =
      model_->engine->Submit(std::move(request), this);
  if (!id.ok()) {
    refs_.fetch_sub(1, std::memory_order_relaxed);
    return NamePartField(id.status());
  }
  id_ = *id;
  if (cancelled_) model_->engine->Cancel(*id);
  return absl::OkStatus();
}

void ScoreDocumentCall::OnScore(const ScoreEvent& event) {
  RWKVD_CHECK(event.state != nullptr);
  state_ = std::make_shared<State>(*event.state);
  last_token_ = event.tokens.back().id;
  const Tokenizer& tokenizer = *model_->tokenizer;
  for (size_t i = 0; i < event.tokens.size(); ++i) {
    const TokenLogprob& token = event.tokens[i];
    total_.set_logprob_sum(total_.logprob_sum() + token.logprob);
    total_.set_greedy_count(total_.greedy_count() + event.is_greedy[i]);
    if (token.id < tokenizer.size()) {
      total_.set_byte_count(
          total_.byte_count() +
          static_cast<int64_t>(tokenizer.TokenBytes(token.id).size()));
    }
    if (with_tokens_) ToProto(event, i, &scores_.emplace_back());
  }
  total_.set_token_count(total_.token_count() +
                         static_cast<int64_t>(event.tokens.size()));
}

void ScoreDocumentCall::OnFinish(const FinishEvent& event) {
  {
    // Waits until Submit has released the lock.
    absl::MutexLock lock(&mutex_);
  }
  Add(event.times, total_.mutable_times());
  if (event.status.ok()) {
    Advance();
  } else {
    End(event.status);
  }
  Unref();
}

void ScoreDocumentCall::Advance() {
  if (num_written_ == scores_.size()) {
    scores_.clear();
    num_written_ = 0;
    StartRead(&request_);
    return;
  }
  response_.Clear();
  const size_t end =
      std::min(scores_.size(), num_written_ + size_t{kMaxTokensInMessage});
  for (; num_written_ < end; ++num_written_) {
    response_.mutable_tokens()->add_tokens()->Swap(&scores_[num_written_]);
  }
  StartWrite(&response_);
}

void ScoreDocumentCall::OnWriteDone(bool ok) {
  if (ok) {
    Advance();
  } else {
    End(absl::CancelledError("the client is gone"));
  }
}

void ScoreDocumentCall::WriteTotal() {
  response_.Clear();
  *response_.mutable_total() = total_;
  StartWriteAndFinish(&response_, grpc::WriteOptions(), status_);
}

void ScoreDocumentCall::End(const absl::Status& status) {
  AddRetryPushback(status, context_);
  status_ = EndStatus(status, *context_);
  Finish(status_);
}

void ScoreDocumentCall::OnCancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  if (id_.has_value()) model_->engine->Cancel(*id_);
}

void ScoreDocumentCall::OnDone() {
  record_.End(status_);
  Unref();
}

void ScoreDocumentCall::Unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace rwkvd
