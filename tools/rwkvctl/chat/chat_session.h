// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_SESSION_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_SESSION_H_

#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "rwkv/v1/rwkv.pb.h"
#include "tools/rwkvctl/chat/conversation.h"
#include "tools/rwkvctl/chat/line_reader.h"

namespace rwkvd {

// Prints one message of a response stream.
using PrintResponse =
    std::function<void(const ::rwkv::v1::GenerateResponse& response)>;

// A chat in the terminal. A line that starts with "/" is a command; all other
// input is sent as messages. Answers go to stdout, everything else to stderr.
//
// One thread only. Owns none of the pointers.
class ChatSession {
 public:
  struct Options {
    bool interactive = false;  // print prompts, and continue after failures
    bool verbose = false;      // print token counts and times of each answer
    PrintResponse print_json;  // if set, prints answers in place of the text
  };

  ChatSession(Options options, Conversation* conversation, LineReader* lines);

  // Loads a conversation that /save wrote.
  absl::Status Load(const std::string& path);
  absl::Status SetSystem(const std::string& system);

  // Runs until the end of the input or /exit. Returns Cancelled after Ctrl-C,
  // and, if not interactive, the first failure.
  absl::Status Run();

 private:
  // A command: a line that starts with "/".
  struct SlashCommand {
    absl::string_view name;
    absl::string_view argument;
    absl::string_view help;
    absl::Status (ChatSession::*run)(const std::string& argument);
  };
  static const SlashCommand kCommands[];

  absl::Status Help(const std::string& argument);
  absl::Status Reset(const std::string& argument);
  absl::Status Undo(const std::string& argument);
  absl::Status Retry(const std::string& argument);
  absl::Status System(const std::string& argument);
  absl::Status History(const std::string& argument);
  absl::Status Save(const std::string& argument);
  absl::Status SaveState(const std::string& argument);
  absl::Status LoadState(const std::string& argument);
  absl::Status Exit(const std::string& argument);

  // Reads the next message or command; nullopt at the end of the input.
  absl::StatusOr<std::optional<std::string>> ReadMessage();
  absl::Status Handle(const std::string& message);
  absl::Status Say(const std::string& user);
  // The conversation without its last turn. There must be one.
  Transcript WithoutLastTurn() const;

  const Options options_;
  Conversation* const conversation_;
  LineReader* const lines_;
  bool ended_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_SESSION_H_
