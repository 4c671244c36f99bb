// SPDX-License-Identifier: Apache-2.0
#include "service/calls/score_document_call.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cli/grpc_status.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/exceptions.h"
#include "core/base/monotonic_clock.h"
#include "core/base/retry_after.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/calls/request_task.h"
#include "service/calls/response_bytes.h"
#include "service/convert/responses.h"
#include "service/convert/score_request.h"
#include "service/states/initial_states.h"

namespace rwkvd {
namespace {

// The most bytes of a token's score on the wire without its text, with its tag
// and length.
constexpr int64_t kMaxTokenScoreBytes = 26;

// When a client should retry if too many documents are being scored.
constexpr absl::Duration kRetryDocumentAfter = absl::Seconds(5);

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
    const CallEnvironment& environment, grpc::CallbackServerContext* context) {
  auto* call = new ScoreDocumentCall(environment, context);
  const absl::Status status = call->CheckOpen();
  if (status.ok()) {
    call->ReadNext();
  } else {
    call->End(status);
  }
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

ScoreDocumentCall::ScoreDocumentCall(const CallEnvironment& environment,
                                     grpc::CallbackServerContext* context)
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      model_(environment.model),
      context_(context),
      slots_(environment.documents),
      deadline_(DeadlineOf(*context)),
      record_(environment, Rpc::kScoreDocument, context->peer()) {}

absl::Status ScoreDocumentCall::CheckOpen() {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  const int32_t most = std::min(model_->engine->options().max_running,
                                model_->options.max_documents);
  const bool has_slot =
      slots_->Take(this, environment_.caller.name(), context_->peer(), most);
  if (has_slot) return absl::OkStatus();
  return WithRetryAfter(
      WithQuota(
          MakeError(
              ErrorReason::kTooManyDocuments,
              absl::StrCat("too many documents are being scored: the limit is ",
                           most, ", which clients share")),
          "documents"),
      kRetryDocumentAfter);
}

void ScoreDocumentCall::ReadNext() {
  if (!end_.Enter()) return;
  WaitForClientToSend();
  StartRead(&message_);
  end_.Leave();
  FinishIfDue();
}

void ScoreDocumentCall::OnReadDone(bool ok) {
  ClientResponded();
  if (end_.is_decided()) return;
  if (!ok && context_->IsCancelled()) {
    End(CallCancelled());
    return;
  }
  if (!ok) {
    WriteTotal();
    return;
  }
  const absl::Status status = BeginPart();
  if (!status.ok()) End(status);
}

absl::Status ScoreDocumentCall::BeginPart() {
  // OnCancel waits for this lock, and so for task_.
  absl::MutexLock lock(&mutex_);
  RWKVD_ASSIGN_OR_RETURN(
      task_, AddRequestTask(
                 &message_, environment_, this,
                 [this](RequestMessage request) {
                   return SubmitPart(std::move(request));
                 },
                 [this](const absl::Status& error) { End(error); }));
  return absl::OkStatus();
}

absl::Status ScoreDocumentCall::SubmitPart(RequestMessage message) {
  RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         CatchExceptions([&] { return Parse(&message); }));
  if (!tokens.empty()) return Submit(std::move(tokens));
  ReadNext();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> ScoreDocumentCall::Parse(
    RequestMessage* message) {
  v1::ScoreDocumentRequest proto;
  RWKVD_RETURN_IF_ERROR(message->ParseInto(&proto));
  const RequestLimits limits = LimitsOf(*model_, &message->reservation());
  if (!has_begun_) {
    has_begun_ = true;
    with_tokens_ = proto.token_scores();
    if (proto.token_text()) texts_ = TokenTexts(model_->tokenizer.get());
    RWKVD_ASSIGN_OR_RETURN(
        initial_state_,
        FindInitialState(limits.initial_states, proto.initial_state()));
  }
  absl::StatusOr<std::vector<int32_t>> tokens =
      PartFromProto(proto.part(), limits);
  if (!tokens.ok()) return message->Counted(tokens.status());
  return tokens;
}

absl::Status ScoreDocumentCall::Submit(std::vector<int32_t> tokens) {
  const auto num_tokens = static_cast<int64_t>(tokens.size());
  RWKVD_RETURN_IF_ERROR(environment_.caller.TakePrompt(num_tokens));
  const absl::Status status = SubmitTokens(std::move(tokens));
  if (!status.ok()) environment_.caller.ReturnPrompt(num_tokens);
  return status;
}

absl::Status ScoreDocumentCall::SubmitTokens(std::vector<int32_t> tokens) {
  ScoreRequest request;
  request.continues = last_token_.has_value();
  if (last_token_.has_value()) {
    request.items[0].context = {*last_token_};
    request.start = std::move(state_);
  }
  request.initial_state = initial_state_;
  request.items[0].continuations.push_back(std::move(tokens));
  request.use_state_cache = false;
  request.flow = FlowOf(environment_.caller);
  request.received = MonotonicNow();
  request.deadline = deadline_;
  Ref();  // the engine's
  // Not under the lock, for which OnCancel would wait. The engine may finish
  // the request before Submit returns.
  absl::StatusOr<Engine::RequestId> id =
      model_->engine->Submit(std::move(request), this);
  if (!id.ok()) {
    Unref();
    return NamePartField(id.status());
  }
  absl::MutexLock lock(&mutex_);
  id_ = std::max(id_.value_or(*id), *id);
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
  }
  total_.set_token_count(total_.token_count() +
                         static_cast<int64_t>(event.tokens.size()));
  if (with_tokens_) AddScores(event);
}

void ScoreDocumentCall::AddScores(const ScoreEvent& event) {
  size_t begin = 0;
  int64_t max_bytes = 0;
  for (size_t i = 0; i < event.tokens.size(); ++i) {
    const int64_t bytes =
        kMaxTokenScoreBytes + texts_.WireBytes(event.tokens[i].id);
    const bool is_full = i - begin == kMaxTokensInMessage ||
                         (i > begin && max_bytes + bytes > kMaxBytesInMessage);
    if (is_full) {
      if (!AddMessage(event, begin, i, max_bytes)) return;
      begin = i;
      max_bytes = 0;
    }
    max_bytes += bytes;
  }
  AddMessage(event, begin, event.tokens.size(), max_bytes);
}

bool ScoreDocumentCall::AddMessage(const ScoreEvent& event, size_t begin,
                                   size_t end, int64_t max_bytes) {
  // Before the lock is taken: it may give up other calls.
  auto charge = monitor()->Charge(this, max_bytes + 2 * kMessageOverhead);
  if (!charge.has_value()) return false;
  std::vector<std::string> parts(2);
  parts[1].reserve(static_cast<size_t>(max_bytes));
  v1::DocumentTokens token;
  for (size_t i = begin; i < end; ++i) {
    token.Clear();
    ToProto(event, i, texts_, token.add_tokens());
    // Serialized messages that follow one another are merged by their reader.
    token.AppendToString(&parts[1]);
  }
  AppendFieldHeader(v1::ScoreDocumentResponse::kTokensFieldNumber,
                    parts[1].size(), &parts[0]);
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return false;
  scores_.push_back(ToByteBuffer(std::move(parts), *std::move(charge)));
  return true;
}

void ScoreDocumentCall::OnFinish(const FinishEvent& event) {
  record_.PartEnded(event);
  Add(event.times, total_.mutable_times());
  if (event.status.ok()) {
    Advance();
  } else {
    End(event.status);
  }
  Unref();
}

void ScoreDocumentCall::Advance() {
  {
    absl::MutexLock lock(&mutex_);
    response_.Clear();
    if (!scores_.empty()) {
      response_ = std::move(scores_.front());
      scores_.pop_front();
    }
  }
  if (!response_.Valid()) return ReadNext();
  if (!end_.Enter()) return response_.Clear();
  record_.Writing(context_);
  WaitForClientToRead();
  StartWrite(&response_);
}

void ScoreDocumentCall::OnWriteDone(bool ok) {
  ClientResponded();
  response_.Clear();
  end_.Leave();
  if (end_.is_decided()) return FinishIfDue();
  if (ok) {
    Advance();
  } else {
    End(CallCancelled());
  }
}

void ScoreDocumentCall::WriteTotal() {
  v1::ScoreDocumentResponse response;
  *response.mutable_total() = total_;
  response_ = ToByteBuffer(response, ResponseCharge());
  if (end_.Decide(absl::OkStatus(), context_)) FinishIfDue();
}

void ScoreDocumentCall::End(const absl::Status& status) {
  if (end_.Decide(status, context_)) FinishIfDue();
}

bool ScoreDocumentCall::GiveUp(GiveUpReason, const absl::Status& why) {
  if (!end_.Decide(why, context_)) return false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    scores_.clear();
    if (id_.has_value()) model_->engine->Cancel(*id_);
  }
  FinishIfDue();
  return true;
}

void ScoreDocumentCall::FinishIfDue() {
  if (!end_.TakeFinish()) return;
  // Before OnDone, since the client may call again before that is called.
  slots_->Release(this);
  const grpc::Status status = record_.Finishing(end_.status(), context_);
  WaitForClientToRead();
  if (!status.ok()) return Finish(status);
  StartWriteAndFinish(&response_, grpc::WriteOptions(), status);  // the total
}

void ScoreDocumentCall::OnCancel() {
  WorkPool::TaskId task;
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    task = task_;
    if (id_.has_value()) model_->engine->Cancel(*id_);
  }
  if (!environment_.pool->Remove(task)) return;
  End(CallCancelled());
  Unref();  // that of the task
}

void ScoreDocumentCall::OnDone() {
  slots_->Release(this);  // if it was given up before it took a slot
  record_.End(FinalStatus(end_.status()));
  Done();
}

}  // namespace rwkvd
