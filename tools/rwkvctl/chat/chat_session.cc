// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/chat_session.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/base/mapped_file.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/chat/answer_printer.h"
#include "tools/rwkvctl/chat/transcript.h"
#include "tools/rwkvctl/report.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

constexpr char kPrompt[] = "> ";
constexpr char kContinuationPrompt[] = "... ";

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file,
                         MappedFile::Open(path));
  return std::string(reinterpret_cast<const char*>(file->bytes().data()),
                     file->bytes().size());
}

}  // namespace

const ChatSession::SlashCommand ChatSession::kCommands[] = {
    {"help", "", "print this list", &ChatSession::Help},
    {"reset", "", "start a new conversation", &ChatSession::Reset},
    {"undo", "", "remove the last message and its answer", &ChatSession::Undo},
    {"retry", "", "generate the last answer again", &ChatSession::Retry},
    {"system", "[TEXT]", "set the system text; without TEXT, remove it",
     &ChatSession::System},
    {"history", "", "print the conversation", &ChatSession::History},
    {"save", "FILE", "write the conversation to a file, as JSON",
     &ChatSession::Save},
    {"load", "FILE", "continue the conversation in a file of /save",
     &ChatSession::Load},
    {"save-state", "FILE", "write the model's state to a file",
     &ChatSession::SaveState},
    {"load-state", "FILE",
     "continue from a file of /save-state, on any server of the same model",
     &ChatSession::LoadState},
    {"exit", "", "exit, as Ctrl-D does", &ChatSession::Exit},
};

ChatSession::ChatSession(Options options, Conversation* conversation,
                         LineReader* lines)
    : options_(std::move(options)),
      conversation_(conversation),
      lines_(lines) {}

absl::Status ChatSession::Run() {
  while (!ended_) {
    absl::StatusOr<std::optional<std::string>> message = ReadMessage();
    absl::Status status = message.status();
    if (absl::IsCancelled(status)) return status;
    if (status.ok() && !message->has_value()) break;
    if (status.ok()) status = Handle(**message);
    if (status.ok()) continue;
    if (!options_.interactive) return status;
    PrintFailure(status);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> ChatSession::ReadMessage() {
  MessageAssembler message;
  while (true) {
    if (options_.interactive) {
      std::fputs(message.empty() ? kPrompt : kContinuationPrompt, stderr);
    }
    RWKVD_ASSIGN_OR_RETURN(const std::optional<std::string> line,
                           lines_->Next());
    if (!line.has_value()) {
      if (options_.interactive) std::fputc('\n', stderr);
      if (message.empty()) return std::nullopt;
      return message.Take();
    }
    RWKVD_ASSIGN_OR_RETURN(const bool whole, message.Add(*line));
    if (whole) return message.Take();
  }
}

absl::Status ChatSession::Handle(const std::string& message) {
  absl::string_view text = absl::StripAsciiWhitespace(message);
  if (text.empty()) return absl::OkStatus();
  if (!absl::ConsumePrefix(&text, "/")) return Say(message);
  // "//" starts a message that begins with "/".
  if (absl::StartsWith(text, "/")) return Say(std::string(text));
  const size_t name_end = std::min(text.find_first_of(" \n"), text.size());
  const absl::string_view name = text.substr(0, name_end);
  const std::string argument(absl::StripAsciiWhitespace(text.substr(name_end)));
  for (const SlashCommand& command : kCommands) {
    if (command.name != name) continue;
    if (argument.empty() && !command.argument.empty() &&
        command.argument[0] != '[') {
      return absl::InvalidArgumentError(
          absl::StrCat("/", name, " needs an argument: ", command.argument));
    }
    return (this->*command.run)(argument);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown command /", name, "; see /help"));
}

absl::Status ChatSession::Say(const std::string& user) {
  AnswerPrinter printer(stdout);
  std::optional<v1::Finish> finish;
  const bool as_json = options_.print_json != nullptr;
  RWKVD_ASSIGN_OR_RETURN(const std::string start, conversation_->AnswerStart());
  if (!as_json) printer.Print(start);
  const absl::Status status =
      conversation_->Say(user, [&](const v1::GenerateResponse& response) {
        if (response.has_finish()) finish = response.finish();
        if (as_json) {
          options_.print_json(response);
        } else {
          printer.Print(response.has_delta() ? response.delta().text()
                                             : response.finish().text());
        }
      });
  if (!as_json) printer.End();
  if (finish.has_value() && options_.verbose) PrintStats(*finish);
  return status;
}

absl::Status ChatSession::SetSystem(const std::string& system) {
  Transcript changed = conversation_->transcript();
  changed.system = system;
  return conversation_->SetTranscript(std::move(changed));
}

Transcript ChatSession::WithoutLastTurn() const {
  Transcript transcript = conversation_->transcript();
  transcript.turns.pop_back();
  return transcript;
}

absl::Status ChatSession::Help(const std::string&) {
  std::fputs(
      "Each line is a message. A message of several lines has a \\ at the end "
      "of each line\nbut the last, or stands between two lines of \"\"\". "
      "Ctrl-C stops an answer. A line that\nstarts with / is a command; type "
      "// to start a message with /.\n",
      stderr);
  for (const SlashCommand& command : kCommands) {
    absl::FPrintF(stderr, "  /%-16s %s\n",
                  absl::StrCat(command.name, " ", command.argument),
                  command.help);
  }
  return absl::OkStatus();
}

absl::Status ChatSession::Reset(const std::string&) {
  return conversation_->StartFromState("");
}

absl::Status ChatSession::Undo(const std::string&) {
  if (conversation_->transcript().turns.empty()) {
    return absl::FailedPreconditionError("the conversation is empty");
  }
  return conversation_->SetTranscript(WithoutLastTurn());
}

absl::Status ChatSession::Retry(const std::string& argument) {
  if (conversation_->transcript().turns.empty()) {
    return absl::FailedPreconditionError("the conversation is empty");
  }
  const std::string user = conversation_->transcript().turns.back().user;
  RWKVD_RETURN_IF_ERROR(Undo(argument));
  return Say(user);
}

absl::Status ChatSession::System(const std::string& argument) {
  return SetSystem(argument);
}

absl::Status ChatSession::History(const std::string&) {
  RWKVD_ASSIGN_OR_RETURN(const std::string text, conversation_->RenderedText());
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status ChatSession::Save(const std::string& path) {
  return ReplaceFile(path, ToJson(conversation_->transcript()));
}

absl::Status ChatSession::Load(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RWKVD_ASSIGN_OR_RETURN(Transcript transcript, TranscriptFromJson(text, path));
  RWKVD_RETURN_IF_ERROR(conversation_->StartFromState(""));
  return conversation_->SetTranscript(std::move(transcript));
}

absl::Status ChatSession::SaveState(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const std::string state, conversation_->FetchState());
  return ReplaceFile(path, state);
}

absl::Status ChatSession::LoadState(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(std::string state, ReadFile(path));
  if (state.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": file is empty"));
  }
  return conversation_->StartFromState(std::move(state));
}

absl::Status ChatSession::Exit(const std::string&) {
  ended_ = true;
  return absl::OkStatus();
}

}  // namespace rwkvd
