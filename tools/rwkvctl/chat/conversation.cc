// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/conversation.h"

#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// Bytes of a state per message of an upload.
constexpr size_t kChunkBytes = size_t{1} << 20;

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

}  // namespace

Conversation::Conversation(Options options,
                           v1::RwkvService::StubInterface* stub,
                           Interrupt* interrupt)
    : options_(std::move(options)), stub_(stub), interrupt_(interrupt) {
  transcript_.template_name = std::string(options_.chat_template->name);
}

absl::Status Conversation::SetTranscript(Transcript transcript) {
  RWKVD_ASSIGN_OR_RETURN(options_.chat_template,
                         FindTemplate(transcript.template_name));
  transcript_ = std::move(transcript);
  return absl::OkStatus();
}

absl::Status Conversation::Say(const std::string& user,
                               const OnResponse& on_response) {
  std::string text =
      ContinueStart(RenderPrompt(chat_template(), transcript_, user));
  RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> ids, TokensOf(text));
  v1::GenerateRequest request = options_.request;
  for (const std::string& stop : StopStrings(chat_template())) {
    request.add_stop_strings(stop);
  }
  RWKVD_ASSIGN_OR_RETURN(Answer answer,
                         Generate(std::move(request), ids, on_response));
  if (answer.interrupted && answer.ids.empty()) return absl::OkStatus();
  const absl::string_view written =
      absl::StripTrailingAsciiWhitespace(answer.bytes);
  transcript_.turns.push_back(
      {user, absl::StrCat(chat_template().opening, written)});
  Remember(std::move(ids), std::move(text), std::move(answer));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Conversation::FetchState() {
  if (transcript_.turns.empty()) {
    return absl::FailedPreconditionError("the conversation is empty");
  }
  const std::string text =
      ContinueStart(RenderTurns(chat_template(), transcript_));
  RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, TokensOf(text));
  v1::GenerateRequest request;
  request.set_initial_state(options_.request.initial_state());
  request.set_max_tokens(0);
  request.mutable_return_state()->set_at_end(true);
  std::string state;
  const absl::StatusOr<Answer> answer = Generate(
      std::move(request), ids, [&](const v1::GenerateResponse& response) {
        state += response.state_chunk().data();
      });
  RWKVD_RETURN_IF_ERROR(answer.status());
  if (answer->interrupted) return absl::CancelledError("interrupted");
  return state;
}

absl::Status Conversation::StartFromState(std::string state) {
  start_ = std::move(state);
  start_handle_.clear();
  known_.Clear();
  transcript_.turns.clear();
  if (start_.empty()) return absl::OkStatus();
  transcript_.system.clear();  // the state contains it
  const absl::Status status = UploadStart();
  if (!status.ok()) start_.clear();
  return status;
}

std::string Conversation::ContinueStart(std::string text) const {
  // The text of a state ends with an answer.
  return start_.empty() ? text : absl::StrCat("\n\n", text);
}

absl::StatusOr<std::vector<int32_t>> Conversation::TokensOf(
    absl::string_view text) {
  absl::string_view rest;
  std::vector<int32_t> ids = known_.Prefix(text, &rest);
  if (rest.empty()) return ids;
  RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> more, Tokenize(rest));
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

absl::Status Conversation::UploadStart() {
  grpc::ClientContext context;
  SetDeadline(&context);
  const Interrupt::Guard guard(interrupt_, &context);
  v1::PutStateResponse response;
  const auto writer = stub_->PutState(&context, &response);
  for (size_t begin = 0; begin < start_.size(); begin += kChunkBytes) {
    v1::PutStateRequest chunk;
    chunk.set_data(start_.substr(begin, kChunkBytes));
    if (!writer->Write(chunk)) break;  // Finish returns the reason
  }
  writer->WritesDone();
  RWKVD_RETURN_IF_ERROR(ToAbsl(writer->Finish()));
  start_handle_ = response.state().handle();
  return absl::OkStatus();
}

absl::StatusOr<Conversation::Answer> Conversation::Generate(
    v1::GenerateRequest request, const std::vector<int32_t>& prompt,
    const OnResponse& on_response) {
  request.mutable_prompt()->mutable_tokens()->mutable_ids()->Assign(
      prompt.begin(), prompt.end());
  if (!start_.empty()) {
    request.clear_initial_state();
    request.set_state_handle(start_handle_);
  }
  absl::StatusOr<Answer> answer = GenerateOnce(request, on_response);
  if (start_.empty() || !absl::IsNotFound(answer.status())) return answer;
  RWKVD_RETURN_IF_ERROR(UploadStart());
  request.set_state_handle(start_handle_);
  return GenerateOnce(request, on_response);
}

absl::StatusOr<Conversation::Answer> Conversation::GenerateOnce(
    const v1::GenerateRequest& request, const OnResponse& on_response) {
  grpc::ClientContext context;
  SetDeadline(&context);
  const Interrupt::Guard guard(interrupt_, &context);
  const auto reader = stub_->Generate(&context, request);
  Answer answer;
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    for (const v1::Token& token : response.delta().tokens()) {
      answer.ids.push_back(token.id());
    }
    answer.bytes += response.has_delta() ? response.delta().bytes()
                                         : response.finish().bytes();
    if (response.finish().reason() == v1::FINISH_REASON_END_OF_TEXT &&
        !answer.ids.empty()) {
      answer.ids.pop_back();  // not part of the continued conversation
    }
    on_response(response);
  }
  const grpc::Status status = reader->Finish();
  answer.interrupted = guard.interrupted();
  if (!status.ok() && !answer.interrupted) return ToAbsl(status);
  return answer;
}

void Conversation::Remember(std::vector<int32_t> prompt, std::string text,
                            Answer answer) {
  // After Ctrl-C, the user does not want to wait for another call.
  if (!answer.interrupted && !answer.ids.empty()) {
    const absl::StatusOr<std::string> written = Detokenize(answer.ids);
    if (written.ok()) {
      prompt.insert(prompt.end(), answer.ids.begin(), answer.ids.end());
      text += *written;
    }
  }
  known_.Set(std::move(prompt), std::move(text));
}

absl::StatusOr<std::vector<int32_t>> Conversation::Tokenize(
    absl::string_view text) {
  grpc::ClientContext context;
  SetDeadline(&context);
  const Interrupt::Guard guard(interrupt_, &context);
  v1::TokenizeRequest request;
  request.set_bytes(std::string(text));
  v1::TokenizeResponse response;
  RWKVD_RETURN_IF_ERROR(ToAbsl(stub_->Tokenize(&context, request, &response)));
  return std::vector<int32_t>(response.ids().begin(), response.ids().end());
}

absl::StatusOr<std::string> Conversation::Detokenize(
    const std::vector<int32_t>& ids) {
  grpc::ClientContext context;
  SetDeadline(&context);
  const Interrupt::Guard guard(interrupt_, &context);
  v1::DetokenizeRequest request;
  request.mutable_ids()->Assign(ids.begin(), ids.end());
  v1::DetokenizeResponse response;
  RWKVD_RETURN_IF_ERROR(
      ToAbsl(stub_->Detokenize(&context, request, &response)));
  return response.bytes();
}

void Conversation::SetDeadline(grpc::ClientContext* context) const {
  if (options_.timeout > absl::ZeroDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  }
}

}  // namespace rwkvd
