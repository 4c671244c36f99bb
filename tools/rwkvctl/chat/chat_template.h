// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_TEMPLATE_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/rwkvctl/chat/transcript.h"

namespace rwkvd {

// The format in which a family of models was trained on conversations:
//
//   System: ...
//
//   User: ...
//
//   Assistant: ...
//
// Two line breaks end a message, so a user's message contains no empty lines.
// A constant.
struct ChatTemplate {
  absl::string_view name;
  absl::string_view user;           // name of the user
  absl::string_view assistant;      // name of the model
  absl::string_view before_system;  // precedes the system text
  absl::string_view opening;        // start of every answer, before the model's
  absl::string_view help;
};

// The names of all templates and their help, one template per line.
std::string DescribeTemplates();

// The template of that name. InvalidArgument lists the known names.
absl::StatusOr<const ChatTemplate*> FindTemplate(absl::string_view name);

// Returns `text` without carriage returns, empty lines, and leading and
// trailing blanks, as a user's message appears in a prompt.
std::string CleanText(absl::string_view text);

// Renders the system text and all turns, up to the end of the last answer.
std::string RenderTurns(const ChatTemplate& chat_template,
                        const Transcript& transcript);

// Renders the transcript and the user's next message `user`, up to where the
// model's answer starts.
std::string RenderPrompt(const ChatTemplate& chat_template,
                         const Transcript& transcript, absl::string_view user);

// Strings at which an answer ends, because the model starts to write the user's
// next message.
std::vector<std::string> StopStrings(const ChatTemplate& chat_template);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_TEMPLATE_H_
