// SPDX-License-Identifier: Apache-2.0
#include "service/calls/score_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "core/base/exceptions.h"
#include "core/base/status_macros.h"
#include "core/engine/validate.h"
#include "service/calls/admission.h"
#include "service/calls/request_task.h"
#include "service/calls/response_bytes.h"
#include "service/convert/responses.h"
#include "service/convert/score_request.h"
#include "service/convert/score_size.h"
#include "service/memory_budgets.h"

namespace rwkvd {
namespace {

// The maximum memory for the serialized score of a continuation: of each of its
// tokens without its text, and of the rest.
constexpr int64_t kTokenScoreBytes = 26;
constexpr int64_t kScoreBytes = kMessageOverhead;

// Shorter strings are copied to the end of the string before them, so that the
// response has few of them.
constexpr size_t kMinPartBytes = 4096;

// InvalidArgument for a response that the client does not accept,
// ResourceExhausted for one that does not fit in `max_bytes`.
absl::Status CheckSize(const v1::ScoreRequest& proto,
                       const ScoreRequest& request, TokenTexts texts,
                       int64_t max_bytes) {
  RWKVD_RETURN_IF_ERROR(CheckScoreResponseSize(proto, request, texts));
  const int64_t bytes = MaxScoreResponseBytes(request, !proto.items().empty(),
                                              !proto.totals_only(), texts);
  if (bytes <= max_bytes) return absl::OkStatus();
  return WithQuota(
      MakeError(ErrorReason::kResponseExceedsMemory,
                absl::StrCat("the response could have ", bytes,
                             " bytes, more than the ", max_bytes,
                             " that unread responses may have; score fewer "
                             "tokens at a time, or set totals_only")),
      kResponseMemoryQuota);
}

}  // namespace

ScoreCall* ScoreCall::Start(const CallEnvironment& environment,
                            grpc::CallbackServerContext* context,
                            const grpc::ByteBuffer* message,
                            grpc::ByteBuffer* response) {
  auto* call = new ScoreCall(environment, context, response);
  const absl::Status status = call->Begin(message);
  if (!status.ok()) call->End(status);
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

ScoreCall::ScoreCall(const CallEnvironment& environment,
                     grpc::CallbackServerContext* context,
                     grpc::ByteBuffer* response)
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      model_(environment.model),
      context_(context),
      response_(response),
      record_(environment, Rpc::kScore, context->peer()) {}

absl::Status ScoreCall::Begin(const grpc::ByteBuffer* message) {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  RWKVD_ASSIGN_OR_RETURN(
      task_, AddRequestTask(
                 message, environment_, this,
                 [this](RequestMessage request) {
                   return Convert(std::move(request));
                 },
                 [this](const absl::Status& error) { End(error); }));
  return absl::OkStatus();
}

absl::Status ScoreCall::Convert(RequestMessage message) {
  RWKVD_RETURN_IF_ERROR(model_->engine->CheckAccepting());
  RWKVD_ASSIGN_OR_RETURN(ScoreRequest request,
                         CatchExceptions([&] { return Parse(&message); }));
  request.cache_partition = environment_.caller.partition;
  request.flow = FlowOf(environment_.caller);
  const int64_t tokens = TokensOf(request);
  RWKVD_RETURN_IF_ERROR(environment_.caller.TakePrompt(tokens));
  request.received = record_.received();
  request.deadline = DeadlineOf(*context_);
  const absl::Status status = Submit(std::move(request));
  if (!status.ok()) environment_.caller.ReturnPrompt(tokens);
  return status;
}

absl::StatusOr<ScoreRequest> ScoreCall::Parse(RequestMessage* message) {
  v1::ScoreRequest proto;
  RWKVD_RETURN_IF_ERROR(message->ParseInto(&proto));
  absl::StatusOr<ScoreRequest> request =
      FromProto(proto, LimitsOf(*model_, &message->reservation()));
  if (!request.ok()) return message->Counted(request.status());
  if (proto.token_text()) texts_ = TokenTexts(model_->tokenizer.get());
  RWKVD_RETURN_IF_ERROR(monitor()->NameQuota(
      *this, CheckSize(proto, *request, texts_,
                       monitor()->max_response_bytes(*this))));
  is_list_ = !proto.items().empty();
  with_tokens_ = !proto.totals_only();
  return request;
}

absl::Status ScoreCall::Submit(ScoreRequest request) {
  {
    absl::MutexLock lock(&mutex_);
    if (finish_called_) return CallCancelled();
    // The engine's thread fills in the scores as soon as it has the request.
    for (const ScoreItem& item : request.items) {
      scores_.emplace_back(item.continuations.size());
    }
  }
  Ref();  // the engine's
  // Not under the lock: OnCancel must not wait while the engine makes a tree of
  // the texts. The engine may finish the request before Submit returns.
  absl::StatusOr<Engine::RequestId> id =
      model_->engine->Submit(std::move(request), this);
  if (!id.ok()) {
    Unref();
    return NameScoreField(id.status(), is_list_);
  }
  absl::MutexLock lock(&mutex_);
  id_ = *id;
  if (cancelled_) model_->engine->Cancel(*id);
  return absl::OkStatus();
}

void ScoreCall::OnScore(const ScoreEvent& event) {
  int64_t max_bytes = kScoreBytes;
  for (const TokenLogprob& token : event.tokens) {
    if (!with_tokens_) break;
    max_bytes += kTokenScoreBytes + texts_.WireBytes(token.id);
  }
  // Before the lock is taken: it may give up other calls.
  auto charge = monitor()->Charge(this, max_bytes);
  if (!charge.has_value()) return;
  v1::ContinuationScore score;
  ToProto(event, with_tokens_, texts_, &score);
  std::string bytes = score.SerializeAsString();
  absl::MutexLock lock(&mutex_);
  if (finish_called_) return;
  charge->ShrinkTo(static_cast<int64_t>(bytes.size()) + kScoreBytes);
  charge_.Absorb(*std::move(charge));
  scores_[event.item][event.continuation] = std::move(bytes);
}

void ScoreCall::WriteResponse(const FinishEvent& event) {
  std::vector<std::string> parts(1);
  const auto append = [&parts](std::string bytes) {
    if (parts.back().size() >= kMinPartBytes) parts.emplace_back();
    if (bytes.size() < kMinPartBytes) {
      parts.back() += bytes;
    } else {
      parts.push_back(std::move(bytes));
      parts.emplace_back();
    }
  };
  for (std::vector<std::string>& item : scores_) {
    if (is_list_) append(ItemHeader(item));
    for (std::string& score : item) {
      append(ScoreHeader(score.size()));
      append(std::exchange(score, {}));
    }
  }
  v1::ScoreResponse rest;
  ToProto(event.usage, rest.mutable_usage());
  ToProto(event.times, rest.mutable_times());
  append(rest.SerializeAsString());
  *response_ = ToByteBuffer(std::move(parts), std::move(charge_));
}

std::string ScoreCall::ScoreHeader(size_t size) const {
  std::string header;
  constexpr int kInItem = v1::ItemScore::kScoresFieldNumber;
  constexpr int kInResponse = v1::ScoreResponse::kScoresFieldNumber;
  AppendFieldHeader(is_list_ ? kInItem : kInResponse, size, &header);
  return header;
}

std::string ScoreCall::ItemHeader(
    const std::vector<std::string>& scores) const {
  size_t size = 0;
  for (const std::string& score : scores) {
    size += ScoreHeader(score.size()).size() + score.size();
  }
  std::string header;
  AppendFieldHeader(v1::ScoreResponse::kItemsFieldNumber, size, &header);
  return header;
}

void ScoreCall::OnFinish(const FinishEvent& event) {
  record_.RequestEnded(event);
  if (event.status.ok()) {
    absl::MutexLock lock(&mutex_);
    if (!finish_called_) WriteResponse(event);
  }
  End(event.status);
  Unref();
}

bool ScoreCall::GiveUp(GiveUpReason, const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    if (finish_called_) return false;
    scores_.clear();
    charge_.ShrinkTo(0);
    cancelled_ = true;
    if (id_.has_value()) model_->engine->Cancel(*id_);
    SetStatus(why);
  }
  WaitForClientToRead();
  Finish(record_.Finishing(status_, context_));
  return true;
}

void ScoreCall::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (finish_called_) return;
    SetStatus(status);
  }
  WaitForClientToRead();
  Finish(record_.Finishing(status_, context_));
}

void ScoreCall::SetStatus(const absl::Status& status) {
  status_ = EndStatus(status, context_);
  finish_called_ = true;
}

void ScoreCall::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (id_.has_value()) model_->engine->Cancel(*id_);
  }
  if (!environment_.pool->Remove(task_)) return;
  End(CallCancelled());
  Unref();  // that of the task
}

void ScoreCall::OnDone() {
  record_.End(FinalStatus(status_));
  Done();
}

}  // namespace rwkvd
