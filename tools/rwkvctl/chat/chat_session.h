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

// Shows a message of an answer.
using ShowResponse =
    std::function<void(const ::rwkv::v1::GenerateResponse& response)>;

// A conversation at the terminal: what the user types is said, or, if it begins
// with "/", obeyed. Answers go to the standard output, all else to the standard
// error.
//
// One thread only. Owns none of the pointers.
class ChatSession {
 public:
  struct Options {
    bool interactive = false;  // somebody types: prompt, and survive failures
    bool verbose = false;      // tell counts and times of each answer
    ShowResponse show_json;    // if set, shows answers instead
  };

  ChatSession(Options options, Conversation* conversation, LineReader* lines);

  // Goes on from what /save wrote.
  absl::Status Load(const std::string& path);
  absl::Status SetSystem(const std::string& system);

  // Until the input or the user ends it: OK; Cancelled after Ctrl-C; where
  // nobody types, the first failure.
  absl::Status Run();

 private:
  // What a line that begins with "/" does.
  struct Word {
    absl::string_view name;
    absl::string_view argument;
    absl::string_view help;
    absl::Status (ChatSession::*run)(const std::string& argument);
  };
  static const Word kWords[];

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

  // What the user enters next; nothing at the end of the input.
  absl::StatusOr<std::optional<std::string>> ReadMessage();
  absl::Status Handle(const std::string& message);
  absl::Status Say(const std::string& user);
  // The conversation without its last turn, which there is.
  Transcript WithoutLastTurn() const;

  const Options options_;
  Conversation* const conversation_;
  LineReader* const lines_;
  bool ended_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CHAT_SESSION_H_
