// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_CONVERSATION_H_
#define RWKVD_SERVICE_CONVERT_CONVERSATION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/text/chat/conversation.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// InvalidArgument if there are too many messages or tools. Before a
// conversation is converted, so that a client does not learn instead that it
// takes too much memory.
absl::Status CheckCounts(const ::rwkv::v1::Conversation& proto);

// Converts a conversation; `chat_template` is not part of the result.
// InvalidArgument, with the name of the field within the conversation, if an
// enum has no known value. CheckConversation checks everything else.
absl::StatusOr<ChatConversation> ConversationFromProto(
    const ::rwkv::v1::Conversation& proto);

// An upper bound of the memory that converting and rendering a conversation
// takes, with the parts that RenderedChat::ForEachText makes, in bytes.
int64_t MaxRenderMemory(const ::rwkv::v1::Conversation& proto);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_CONVERSATION_H_
