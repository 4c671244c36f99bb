// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_CHAT_INPUT_H_
#define RWKVD_SERVICE_CONVERT_CHAT_INPUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/text/chat/chat_template.h"
#include "core/text/chat/rendered_chat.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/input.h"
#include "service/convert/request_limits.h"

namespace rwkvd {

// A conversation as text. A value.
struct ChatText {
  const ChatTemplate* chat_template = nullptr;  // that rendered it
  RenderedChat rendered;
};

// A conversation as tokens. A value.
struct ChatTokens {
  std::vector<int32_t> ids;
  const ChatTemplate* chat_template = nullptr;
  // The number of tokens that the prompts of longer conversations share. 0 if
  // these may share all tokens.
  int64_t save_point = 0;
};

// Renders a conversation with the template that it names, or else that of the
// model, within what `limits` reserve. Errors begin with `path`, the name of
// the conversation on the wire: those of RenderChat and ReserveMore;
// FailedPrecondition if there is no template; InvalidArgument if the model has
// no text, or an enum has no known value.
absl::StatusOr<ChatText> RenderFromProto(const ::rwkv::v1::Conversation& proto,
                                         const RequestLimits& limits,
                                         absl::string_view path);

// Tokenizes a conversation, so that its contents cannot forge turns or special
// tokens (RenderedChat), within what `limits` reserve. Errors name no field:
// OutOfRange if there are more than `max_tokens`, which ends tokenizing; the
// others of Tokenizer::Encode, and those of ReserveMore.
absl::StatusOr<ChatTokens> TokenizeChat(const ChatText& chat,
                                        const RequestLimits& limits,
                                        int64_t max_tokens);

// Renders and tokenizes the conversation in the input `field`, with errors like
// those of TokensFromProto.
absl::StatusOr<ChatTokens> ChatFromProto(const ::rwkv::v1::Conversation& proto,
                                         const RequestLimits& limits,
                                         absl::string_view field,
                                         const TokenLimit& limit);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_CHAT_INPUT_H_
