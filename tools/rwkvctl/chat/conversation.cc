// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/conversation.h"

#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// Bytes of a state per message of an upload.
constexpr size_t kChunkBytes = size_t{1} << 20;

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

// The bytes with U+FFFD in place of each one that is not valid UTF-8. The
// terminal sends any bytes.
std::string Utf8Of(absl::string_view bytes) {
  std::string text;
  while (true) {
    const size_t valid = ValidUtf8Length(bytes);
    absl::StrAppend(&text, bytes.substr(0, valid));
    if (valid == bytes.size()) return text;
    text += "\uFFFD";
    bytes.remove_prefix(valid + 1);
  }
}

void AddMessage(v1::ChatRole role, absl::string_view content,
                v1::Conversation* conversation) {
  v1::ChatMessage* const message = conversation->add_messages();
  message->set_role(role);
  message->set_content(Utf8Of(content));
}

// The transcript as messages.
v1::Conversation ToProto(const Transcript& transcript) {
  v1::Conversation conversation;
  conversation.set_chat_template(transcript.template_name);
  conversation.set_thinking(transcript.thinking);
  if (!transcript.system.empty()) {
    AddMessage(v1::CHAT_ROLE_SYSTEM, transcript.system, &conversation);
  }
  for (const Turn& turn : transcript.turns) {
    AddMessage(v1::CHAT_ROLE_USER, turn.user, &conversation);
    AddMessage(v1::CHAT_ROLE_ASSISTANT, turn.assistant, &conversation);
  }
  return conversation;
}

}  // namespace

Conversation::Conversation(Options options,
                           v1::RwkvService::StubInterface* stub,
                           Interrupt* interrupt)
    : options_(std::move(options)), stub_(stub), interrupt_(interrupt) {
  transcript_.template_name = options_.chat_template;
  transcript_.thinking = options_.thinking;
}

absl::Status Conversation::SetTranscript(Transcript transcript) {
  const bool same_template =
      transcript.template_name == transcript_.template_name &&
      transcript.thinking == transcript_.thinking;
  std::swap(transcript, transcript_);
  if (same_template) return absl::OkStatus();
  const auto answer_start = std::exchange(answer_start_, std::nullopt);
  const absl::Status status = AnswerStart().status();
  if (status.ok()) return absl::OkStatus();
  transcript_ = std::move(transcript);
  answer_start_ = answer_start;
  return status;
}

absl::Status Conversation::Say(const std::string& user,
                               const OnResponse& on_response) {
  RWKVD_ASSIGN_OR_RETURN(const std::string answer_start, AnswerStart());
  v1::Conversation prompt = ToProto(transcript_);
  AddMessage(v1::CHAT_ROLE_USER, user, &prompt);
  RWKVD_ASSIGN_OR_RETURN(
      const Answer answer,
      Generate(options_.request, std::move(prompt), on_response));
  if (answer.interrupted && answer.text.empty()) return absl::OkStatus();
  const absl::string_view written =
      absl::StripTrailingAsciiWhitespace(answer.text);
  transcript_.turns.push_back({user, absl::StrCat(answer_start, written)});
  return absl::OkStatus();
}

absl::StatusOr<std::string> Conversation::AnswerStart() {
  if (answer_start_.has_value()) return *answer_start_;
  // It is the same whatever the messages are.
  Transcript none;
  none.template_name = transcript_.template_name;
  none.thinking = transcript_.thinking;
  v1::TokenizeRequest request;
  *request.mutable_conversation() = ToProto(none);
  AddMessage(v1::CHAT_ROLE_USER, "?", request.mutable_conversation());
  RWKVD_ASSIGN_OR_RETURN(const v1::TokenizeResponse response,
                         Tokenize(request));
  answer_start_ = response.answer_start();
  return *answer_start_;
}

absl::StatusOr<std::string> Conversation::RenderedText() {
  v1::TokenizeRequest request;
  *request.mutable_conversation() = ToProto(transcript_);
  if (request.conversation().messages().empty()) return "";
  request.mutable_conversation()->set_add_generation_prompt(false);
  request.set_rendered_text(true);
  RWKVD_ASSIGN_OR_RETURN(const v1::TokenizeResponse response,
                         Tokenize(request));
  return response.rendered_text();
}

absl::StatusOr<std::string> Conversation::FetchState() {
  if (transcript_.turns.empty()) {
    return absl::FailedPreconditionError("the conversation is empty");
  }
  v1::Conversation prompt = ToProto(transcript_);
  // It ends with an empty line, so that the next message may follow.
  prompt.set_add_generation_prompt(false);
  v1::GenerateRequest request;
  request.set_initial_state(options_.request.initial_state());
  request.set_max_tokens(0);
  request.mutable_return_state()->set_at_end(true);
  std::string state;
  const absl::StatusOr<Answer> answer =
      Generate(std::move(request), std::move(prompt),
               [&](const v1::GenerateResponse& response) {
                 state += response.state_chunk().data();
               });
  RWKVD_RETURN_IF_ERROR(answer.status());
  if (answer->interrupted) return absl::CancelledError("interrupted");
  return state;
}

absl::Status Conversation::StartFromState(std::string state) {
  start_ = std::move(state);
  start_handle_.clear();
  transcript_.turns.clear();
  if (start_.empty()) return absl::OkStatus();
  transcript_.system.clear();  // the state contains it
  const absl::Status status = UploadStart();
  if (!status.ok()) start_.clear();
  return status;
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
    v1::GenerateRequest request, v1::Conversation prompt,
    const OnResponse& on_response) {
  *request.mutable_prompt()->mutable_conversation() = std::move(prompt);
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
    answer.text += response.has_delta() ? response.delta().text()
                                        : response.finish().text();
    on_response(response);
  }
  const grpc::Status status = reader->Finish();
  answer.interrupted = guard.interrupted();
  if (!status.ok() && !answer.interrupted) return ToAbsl(status);
  return answer;
}

absl::StatusOr<v1::TokenizeResponse> Conversation::Tokenize(
    const v1::TokenizeRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context);
  const Interrupt::Guard guard(interrupt_, &context);
  v1::TokenizeResponse response;
  RWKVD_RETURN_IF_ERROR(ToAbsl(stub_->Tokenize(&context, request, &response)));
  return response;
}

void Conversation::SetDeadline(grpc::ClientContext* context) const {
  if (options_.timeout > absl::ZeroDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  }
}

}  // namespace rwkvd
