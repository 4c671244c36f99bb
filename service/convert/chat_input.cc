// SPDX-License-Identifier: Apache-2.0
#include "service/convert/chat_input.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/convert/conversation.h"
#include "service/convert/request_memory.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// Times the size of a list that grows: its old and its new array exist
// together. Tokenizer::MaxEncodeMemory counts as much for the tokens.
constexpr int64_t kListGrowth = 3;

int64_t ListBytes(const std::vector<int32_t>& ids) {
  return static_cast<int64_t>(ids.size() * sizeof(int32_t));
}

// Tokenizes the parts of a conversation, one after another.
//
// Lives for one call of TokenizeChat; thread-compatible.
class PartEncoder {
 public:
  PartEncoder(const RequestLimits& limits, int64_t max_tokens)
      : limits_(limits), max_tokens_(max_tokens) {}

  absl::Status Add(absl::string_view part) {
    const int64_t left = max_tokens_ - static_cast<int64_t>(ids_.size());
    const int64_t most = limits_.tokenizer.MaxEncodeMemory(part, left);
    RWKVD_RETURN_IF_ERROR(ReserveMore(limits_.memory, most));
    const absl::StatusOr<std::vector<int32_t>> ids =
        limits_.tokenizer.Encode(part, left);
    if (ids.status().code() == absl::StatusCode::kOutOfRange) return TooMany();
    if (!ids.ok()) return ids.status();
    ids_.insert(ids_.end(), ids->begin(), ids->end());
    // Less than before, which never fails.
    return ReserveMore(limits_.memory, kListGrowth * ListBytes(*ids) - most);
  }

  std::vector<int32_t> Take() {
    ids_.shrink_to_fit();
    // Less than before.
    (void)ReserveMore(limits_.memory, (1 - kListGrowth) * ListBytes(ids_));
    return std::move(ids_);
  }

  absl::Status TooMany() const {
    return absl::OutOfRangeError(
        absl::StrCat("has more than ", max_tokens_, " tokens"));
  }

 private:
  const RequestLimits& limits_;
  const int64_t max_tokens_;
  std::vector<int32_t> ids_;
};

int64_t NumBytes(const RenderedChat& chat) {
  size_t num_bytes = 0;
  for (const ChatPiece& piece : chat.pieces) num_bytes += piece.text.size();
  return static_cast<int64_t>(num_bytes);
}

// The number of the first tokens that have at most `num_bytes` bytes together.
int64_t NumTokensWithin(const Tokenizer& tokenizer,
                        const std::vector<int32_t>& ids, size_t num_bytes) {
  size_t end = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    end += tokenizer.TokenBytes(ids[i]).size();
    if (end > num_bytes) return static_cast<int64_t>(i);
  }
  return static_cast<int64_t>(ids.size());
}

absl::StatusOr<const ChatTemplate*> TemplateOf(const v1::Conversation& proto,
                                               const RequestLimits& limits) {
  if (!proto.chat_template().empty()) {
    const auto found = FindChatTemplate(proto.chat_template());
    if (found.ok()) return found;
    return FieldError("chat_template", found.status().message());
  }
  if (limits.chat_template != nullptr) return limits.chat_template;
  return MakeError(
      ErrorReason::kNoChatTemplate,
      absl::StrCat(
          "the server knows no chat template for its model; choose "
          "one of ",
          ChatTemplateNames(),
          " with chat_template, or with the server's --chat_template"));
}

// Errors name fields within the conversation.
absl::StatusOr<ChatText> Render(const v1::Conversation& proto,
                                const RequestLimits& limits) {
  if (!limits.tokenizer.has_bytes()) return NoBytesError();
  ChatText chat;
  RWKVD_ASSIGN_OR_RETURN(chat.chat_template, TemplateOf(proto, limits));
  RWKVD_RETURN_IF_ERROR(CheckCounts(proto));
  RWKVD_RETURN_IF_ERROR(ReserveMore(limits.memory, MaxRenderMemory(proto)));
  RWKVD_ASSIGN_OR_RETURN(const ChatConversation conversation,
                         ConversationFromProto(proto));
  RWKVD_ASSIGN_OR_RETURN(chat.rendered,
                         RenderChat(*chat.chat_template, conversation));
  return chat;
}

}  // namespace

absl::StatusOr<ChatText> RenderFromProto(const v1::Conversation& proto,
                                         const RequestLimits& limits,
                                         absl::string_view path) {
  absl::StatusOr<ChatText> chat = Render(proto, limits);
  if (chat.ok()) return chat;
  const absl::Status& status = chat.status();
  if (status.code() == absl::StatusCode::kResourceExhausted) return status;
  if (!FieldOf(status).has_value()) return InField(path, status);
  return RenameField(status, [path](absl::string_view field) {
    return absl::StrCat(path, ".", field);
  });
}

absl::StatusOr<ChatTokens> TokenizeChat(const ChatText& chat,
                                        const RequestLimits& limits,
                                        int64_t max_tokens) {
  const Tokenizer& tokenizer = limits.tokenizer;
  const RenderedChat& rendered = chat.rendered;
  PartEncoder encoder(limits, max_tokens);
  if (NumBytes(rendered) / tokenizer.max_bytes_per_token() > max_tokens) {
    return encoder.TooMany();
  }
  RWKVD_RETURN_IF_ERROR(rendered.ForEachText(
      [&encoder](absl::string_view part) { return encoder.Add(part); }));
  ChatTokens tokens{.ids = encoder.Take(), .chat_template = chat.chat_template};
  // Longer conversations usually repeat "Assistant:", but not "<think".
  if (!rendered.answer_start.empty()) {
    tokens.save_point =
        NumTokensWithin(tokenizer, tokens.ids, rendered.stable_bytes);
  }
  return tokens;
}

absl::StatusOr<ChatTokens> ChatFromProto(const v1::Conversation& proto,
                                         const RequestLimits& limits,
                                         absl::string_view field,
                                         const TokenLimit& limit) {
  RWKVD_ASSIGN_OR_RETURN(
      const ChatText chat,
      RenderFromProto(proto, limits, absl::StrCat(field, ".conversation")));
  absl::StatusOr<ChatTokens> tokens = TokenizeChat(chat, limits, limit.tokens);
  if (!tokens.ok()) {
    return EncodeError(tokens.status(), field, "conversation", limit);
  }
  // The text ends here. Less than before, which never fails.
  (void)ReserveMore(limits.memory, -MaxRenderMemory(proto));
  return tokens;
}

}  // namespace rwkvd
