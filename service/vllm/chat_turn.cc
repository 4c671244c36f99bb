// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/chat_turn.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/algorithm/container.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/text/chat/answer_start.h"
#include "core/text/chat/chat_template.h"

namespace rwkvd {
namespace {

// A template, and the bytes of the answer that the prompt contains already.
struct ChatTurn {
  const ChatTemplate* chat_template = nullptr;  // null: no conversation
  size_t answer_start = 0;
};

ChatTurn FindChatTurn(const RequestLimits& limits,
                      absl::Span<const int32_t> prompt) {
  // A token has at least one byte, except for those that end a text.
  const std::string end = limits.tokenizer.Decode(prompt.subspan(
      prompt.size() - std::min(prompt.size(), kMaxAnswerStartBytes)));
  const absl::Span<const ChatTemplate> templates =
      limits.chat_template == nullptr
          ? AllChatTemplates()
          : absl::MakeConstSpan(limits.chat_template, 1);
  for (const ChatTemplate& known : templates) {
    const size_t size = AnswerStartAtEnd(known, end).size();
    if (size > 0) return {&known, size};
  }
  return {};
}

// The number of tokens before the last `num_bytes` bytes.
int64_t NumTokensBefore(const Tokenizer& tokenizer,
                        absl::Span<const int32_t> ids, size_t num_bytes) {
  size_t num_tokens = ids.size();
  while (num_bytes > 0 && num_tokens > 0) {
    const size_t size = tokenizer.TokenBytes(ids[--num_tokens]).size();
    num_bytes -= std::min(num_bytes, size);
  }
  return static_cast<int64_t>(num_tokens);
}

}  // namespace

std::vector<std::string> PrepareChatTurn(const RequestLimits& limits,
                                         GenerateRequest* request) {
  const ChatTurn turn = FindChatTurn(limits, request->prompt);
  if (turn.chat_template == nullptr) return {};
  // Longer conversations usually repeat "Assistant:", but not "<think".
  if (turn.answer_start > turn.chat_template->assistant.size() + 1) {
    request->save_point =
        NumTokensBefore(limits.tokenizer, request->prompt, turn.answer_start);
  }
  std::vector<std::string> added;
  if (request->ignore_end_of_text) return added;
  for (const absl::string_view stop : turn.chat_template->stop_sequences) {
    if (absl::c_linear_search(request->stop_strings, stop)) continue;
    added.emplace_back(stop);
    request->stop_strings.emplace_back(stop);
    ++request->num_added_stops;
  }
  return added;
}

}  // namespace rwkvd
