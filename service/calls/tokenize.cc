// SPDX-License-Identifier: Apache-2.0
#include "service/calls/tokenize.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/convert/chat_input.h"
#include "service/convert/request_limits.h"
#include "service/convert/request_memory.h"
#include "service/convert/response_size.h"
#include "service/convert/token_texts.h"

namespace rwkvd {

namespace {

// The memory of one of TokenizeResponse.tokens, without its bytes: the message,
// its two strings, and the pointer to it in a list that grows.
constexpr int64_t kTokenMemory = sizeof(::rwkv::v1::Token) +
                                 2 * (sizeof(std::string) + 2 * sizeof(void*)) +
                                 3 * sizeof(void*);

absl::Status TooLarge(absl::string_view field, absl::string_view problem) {
  const std::string advice =
      field == "conversation" ? "send fewer messages"
                              : absl::StrCat("send the ", field, " in parts");
  return FieldError(
      ErrorReason::kResponseTooLarge, field,
      absl::StrCat(problem, ", which may not fit an answer of ",
                   kDefaultMaxResponseBytes,
                   " bytes, the most that clients accept by default; ",
                   advice));
}

// Adds the tokens in `response->ids` with their texts, unless the answer would
// be too large then. `field` is that of the request.
absl::Status AddTexts(const Tokenizer& tokenizer, absl::string_view field,
                      ByteBudget::Reservation* memory,
                      ::rwkv::v1::TokenizeResponse* response) {
  const TokenTexts texts(&tokenizer);
  auto size = static_cast<int64_t>(response->ByteSizeLong());
  int64_t text_bytes = 0;
  for (const int32_t id : response->ids()) {
    const int64_t bytes = texts.WireBytes(id);
    const int64_t token = 1 + VarintBytes(static_cast<uint64_t>(id)) + bytes;
    size += 1 + VarintBytes(static_cast<uint64_t>(token)) + token;
    text_bytes += bytes;
  }
  if (size > kDefaultMaxResponseBytes) {
    return TooLarge(
        field, absl::StrCat("has ", response->ids_size(), " tokens with ", size,
                            " bytes and texts"));
  }
  RWKVD_RETURN_IF_ERROR(
      ReserveMore(memory, response->ids_size() * kTokenMemory + text_bytes));
  for (const int32_t id : response->ids()) {
    ::rwkv::v1::Token* const token = response->add_tokens();
    token->set_id(id);
    texts.Set(id, token);
  }
  return absl::OkStatus();
}

// Which field of a request to Tokenize is set, or "text".
absl::string_view FieldOfInput(const ::rwkv::v1::TokenizeRequest& request) {
  if (request.has_conversation()) return "conversation";
  return request.has_bytes() ? "bytes" : "text";
}

absl::Status TokenizeText(const ServedModel& model,
                          const ::rwkv::v1::TokenizeRequest& request,
                          int64_t most, ByteBudget::Reservation* memory,
                          ::rwkv::v1::TokenizeResponse* response) {
  // Either field is set, or neither.
  const std::string& bytes =
      request.has_bytes() ? request.bytes() : request.text();
  const absl::string_view field = FieldOfInput(request);
  const Tokenizer& tokenizer = *model.tokenizer;
  // Includes the memory of the ids, which takes less than the growing list of
  // tokens.
  RWKVD_RETURN_IF_ERROR(
      ReserveMore(memory, 2 * tokenizer.MaxEncodeMemory(bytes, most)));
  const absl::StatusOr<std::vector<int32_t>> ids =
      tokenizer.Encode(bytes, most);
  if (ids.status().code() == absl::StatusCode::kOutOfRange) {
    return TooLarge(field, ids.status().message());
  }
  if (!ids.ok()) return InField(field, ids.status());
  response->mutable_ids()->Assign(ids->begin(), ids->end());
  return absl::OkStatus();
}

// Sets the tokens of a conversation.
absl::Status SetChatTokens(const ChatText& chat, const RequestLimits& limits,
                           int64_t most,
                           ::rwkv::v1::TokenizeResponse* response) {
  const absl::StatusOr<ChatTokens> tokens = TokenizeChat(chat, limits, most);
  const absl::Status& status = tokens.status();
  if (status.code() == absl::StatusCode::kOutOfRange) {
    return TooLarge("conversation", status.message());
  }
  if (status.code() == absl::StatusCode::kResourceExhausted) return status;
  if (!status.ok()) return InField("conversation", status);
  RWKVD_RETURN_IF_ERROR(
      ReserveMore(limits.memory,
                  static_cast<int64_t>(tokens->ids.size() * sizeof(int32_t))));
  response->mutable_ids()->Assign(tokens->ids.begin(), tokens->ids.end());
  return absl::OkStatus();
}

absl::Status TokenizeConversation(const ServedModel& model,
                                  const ::rwkv::v1::TokenizeRequest& request,
                                  int64_t most, ByteBudget::Reservation* memory,
                                  ::rwkv::v1::TokenizeResponse* response) {
  const RequestLimits limits = LimitsOf(model, memory);
  RWKVD_ASSIGN_OR_RETURN(
      const ChatText chat,
      RenderFromProto(request.conversation(), limits, "conversation"));
  RWKVD_RETURN_IF_ERROR(SetChatTokens(chat, limits, most, response));
  response->set_answer_start(chat.rendered.answer_start);
  // The memory for rendering covers the text: the parts no longer exist.
  if (request.rendered_text())
    response->set_rendered_text(chat.rendered.Text());
  const auto size = static_cast<int64_t>(response->ByteSizeLong());
  if (size <= kDefaultMaxResponseBytes) return absl::OkStatus();
  return TooLarge("conversation",
                  absl::StrCat("has ", response->ids_size(), " tokens, with ",
                               size, " bytes in all"));
}

}  // namespace

absl::Status Tokenize(const ServedModel& model,
                      const ::rwkv::v1::TokenizeRequest& request,
                      ByteBudget::Reservation* memory,
                      ::rwkv::v1::TokenizeResponse* response) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const int64_t most = request.token_text()
                           ? std::min(MaxTextTokensInResponse(),
                                      MaxTokensInResponse(tokenizer.size()))
                           : MaxTokensInResponse(tokenizer.size());
  if (request.rendered_text() && !request.has_conversation()) {
    return FieldError("rendered_text", "expected only with a conversation");
  }
  RWKVD_RETURN_IF_ERROR(
      request.has_conversation()
          ? TokenizeConversation(model, request, most, memory, response)
          : TokenizeText(model, request, most, memory, response));
  if (!request.token_text()) return absl::OkStatus();
  return AddTexts(tokenizer, FieldOfInput(request), memory, response);
}

}  // namespace rwkvd
