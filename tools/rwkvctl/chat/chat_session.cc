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
#include "tools/rwkvctl/chat/chat_template.h"
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

const ChatSession::Word ChatSession::kWords[] = {
    {"help", "", "this list", &ChatSession::Help},
    {"reset", "", "forget all that was said", &ChatSession::Reset},
    {"undo", "", "forget the last answer and what you said before it",
     &ChatSession::Undo},
    {"retry", "", "have the last answer written again", &ChatSession::Retry},
    {"system", "[TEXT]",
     "what the model is told before all else; without TEXT, nothing",
     &ChatSession::System},
    {"history", "", "all that was said", &ChatSession::History},
    {"save", "FILE", "write it to a file, as JSON", &ChatSession::Save},
    {"load", "FILE", "go on from such a file", &ChatSession::Load},
    {"save-state", "FILE", "write what the model remembers of it to a file",
     &ChatSession::SaveState},
    {"load-state", "FILE",
     "go on from such a file, with any server of the same model",
     &ChatSession::LoadState},
    {"exit", "", "end; so does Ctrl-D", &ChatSession::Exit},
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
    TellFailure(status);
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
  // To say something that begins with "/", begin with "//".
  if (absl::StartsWith(text, "/")) return Say(std::string(text));
  const size_t name_end = std::min(text.find_first_of(" \n"), text.size());
  const absl::string_view name = text.substr(0, name_end);
  const std::string argument(absl::StripAsciiWhitespace(text.substr(name_end)));
  for (const Word& word : kWords) {
    if (word.name != name) continue;
    if (argument.empty() && !word.argument.empty() && word.argument[0] != '[') {
      return absl::InvalidArgumentError(
          absl::StrCat("/", name, " wants ", word.argument));
    }
    return (this->*word.run)(argument);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no /", name, "; see /help"));
}

absl::Status ChatSession::Say(const std::string& user) {
  AnswerPrinter printer(stdout);
  std::optional<v1::Finish> finish;
  const bool as_json = options_.show_json != nullptr;
  if (!as_json) printer.Print(conversation_->style().opening);
  const absl::Status status =
      conversation_->Say(user, [&](const v1::GenerateResponse& response) {
        if (response.has_finish()) finish = response.finish();
        if (as_json) {
          options_.show_json(response);
        } else {
          printer.Print(response.has_delta() ? response.delta().text()
                                             : response.finish().text());
        }
      });
  if (!as_json) printer.End();
  if (finish.has_value() && options_.verbose) TellStats(*finish);
  return status;
}

absl::Status ChatSession::SetSystem(const std::string& system) {
  Transcript changed = conversation_->transcript();
  changed.system = system;
  return conversation_->Replace(std::move(changed));
}

Transcript ChatSession::WithoutLastTurn() const {
  Transcript transcript = conversation_->transcript();
  transcript.turns.pop_back();
  return transcript;
}

absl::Status ChatSession::Help(const std::string&) {
  std::fputs(
      "A line is said as it stands. One that ends with \\ goes on with the "
      "next; so does\nall between two lines of \"\"\". Ctrl-C ends an answer. "
      "What begins with / is an\norder; say // to begin with one /.\n",
      stderr);
  for (const Word& word : kWords) {
    absl::FPrintF(stderr, "  /%-16s %s\n",
                  absl::StrCat(word.name, " ", word.argument), word.help);
  }
  return absl::OkStatus();
}

absl::Status ChatSession::Reset(const std::string&) {
  return conversation_->StartFrom("");
}

absl::Status ChatSession::Undo(const std::string&) {
  if (conversation_->transcript().turns.empty()) {
    return absl::FailedPreconditionError("nothing was said yet");
  }
  return conversation_->Replace(WithoutLastTurn());
}

absl::Status ChatSession::Retry(const std::string& argument) {
  if (conversation_->transcript().turns.empty()) {
    return absl::FailedPreconditionError("nothing was said yet");
  }
  const std::string user = conversation_->transcript().turns.back().user;
  RWKVD_RETURN_IF_ERROR(Undo(argument));
  return Say(user);
}

absl::Status ChatSession::System(const std::string& argument) {
  return SetSystem(argument);
}

absl::Status ChatSession::History(const std::string&) {
  const Transcript& transcript = conversation_->transcript();
  const ChatTemplate& style = conversation_->style();
  if (!transcript.system.empty()) {
    absl::PrintF("%s%s\n\n", style.before_system, transcript.system);
  }
  for (const Turn& turn : transcript.turns) {
    absl::PrintF("%s: %s\n\n%s:%s\n\n", style.user, turn.user, style.assistant,
                 turn.assistant);
  }
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status ChatSession::Save(const std::string& path) {
  return ReplaceFile(path, ToJson(conversation_->transcript()));
}

absl::Status ChatSession::Load(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RWKVD_ASSIGN_OR_RETURN(Transcript transcript, TranscriptFromJson(text, path));
  RWKVD_RETURN_IF_ERROR(conversation_->StartFrom(""));
  return conversation_->Replace(std::move(transcript));
}

absl::Status ChatSession::SaveState(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(const std::string state, conversation_->State());
  return ReplaceFile(path, state);
}

absl::Status ChatSession::LoadState(const std::string& path) {
  RWKVD_ASSIGN_OR_RETURN(std::string state, ReadFile(path));
  if (state.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": empty"));
  }
  return conversation_->StartFrom(std::move(state));
}

absl::Status ChatSession::Exit(const std::string&) {
  ended_ = true;
  return absl::OkStatus();
}

}  // namespace rwkvd
