// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_CONVERSATION_H_
#define RWKVD_CORE_TEXT_CHAT_CONVERSATION_H_

#include <string>
#include <vector>

namespace rwkvd {

// A conversation with a model, before a chat template renders it as a prompt.
// All types are values. CheckConversation (check_conversation.h) says what a
// template accepts.

enum class ChatRole {
  kSystem,     // instructions of the application
  kUser,       // text of the user
  kAssistant,  // text and tool calls of the model
  kTool        // the result of a tool call
};

// The model's request to call a function of the application.
struct ChatToolCall {
  std::string id;         // for tool_call_id; templates do not render it
  std::string name;       // of the function
  std::string arguments;  // a JSON object as text, rendered verbatim; empty: {}
};

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
  std::vector<ChatToolCall> tool_calls = {};  // kAssistant only
  // kTool only: the id of the call that this is the result of. May be empty.
  std::string tool_call_id = {};
};

// A function that the model may call.
struct ChatTool {
  std::string name;
  std::string description;  // empty: none
  std::string parameters;   // a JSON schema, an object as text; empty: none
};

// Whether the model thinks before it answers.
enum class ChatThinking {
  kDefault,   // what the template does unless asked
  kOff,       // the prompt contains an empty thought
  kOffShort,  // the same with a shorter empty thought, if the template has two
  kOn         // the prompt starts a thought
};

// How long the model thinks.
enum class ChatEffort { kDefault, kLow, kMedium, kHigh };

struct ChatConversation {
  std::vector<ChatMessage> messages;
  std::vector<ChatTool> tools = {};
  ChatThinking thinking = ChatThinking::kDefault;
  ChatEffort effort = ChatEffort::kDefault;  // with kOn only
  // Whether the prompt starts a tool call, so that the model cannot answer
  // otherwise.
  bool require_tool_call = false;
  // Whether the prompt ends with the start of the model's answer. Otherwise it
  // ends with the last message.
  bool add_generation_prompt = true;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_CONVERSATION_H_
