// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_TEMPLATE_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/rwkvctl/chat/transcript.h"

namespace rwkvd {

// How a kind of model was taught to write conversations:
//
//   System: ...
//
//   User: ...
//
//   Assistant: ...
//
// Two line breaks end what somebody says, so a user's text has no empty lines.
// A constant.
struct ChatTemplate {
  absl::string_view name;
  absl::string_view user;
  absl::string_view assistant;
  absl::string_view before_system;
  absl::string_view opening;  // begins every answer, as if the model wrote it
  absl::string_view help;
};

// "world", "think", "no-think", "raven", each with its help, a line each.
std::string DescribeTemplates();

// InvalidArgument lists the names there are.
absl::StatusOr<const ChatTemplate*> FindTemplate(absl::string_view name);

// A user's text as it stands in a conversation: without carriage returns, empty
// lines, and blanks at the ends.
std::string CleanText(absl::string_view text);

// All that was said, up to the end of the last answer.
std::string RenderTurns(const ChatTemplate& style,
                        const Transcript& transcript);

// The whole conversation, up to where the model is to go on after `user`.
std::string RenderPrompt(const ChatTemplate& style,
                         const Transcript& transcript, absl::string_view user);

// Where the model begins to write what the user would say.
std::vector<std::string> StopStrings(const ChatTemplate& style);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_TEMPLATE_H_
