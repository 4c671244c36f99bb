// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/chat/chat_session.h"
#include "tools/rwkvctl/chat/conversation.h"
#include "tools/rwkvctl/chat/interrupt.h"
#include "tools/rwkvctl/chat/line_reader.h"
#include "tools/rwkvctl/chat/transcript.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/initial_state.h"
#include "tools/rwkvctl/max_tokens.h"
#include "tools/rwkvctl/report.h"
#include "tools/rwkvctl/sampling_flags.h"

ABSL_FLAG(std::string, template, "",
          "Chat template that the model was trained with: official, g1, world "
          "or raven. If empty, the server's; world if the server knows none.");
ABSL_FLAG(std::string, thinking, "default",
          "Whether the model thinks before it answers: default (as the "
          "template has it), off, off_short or on.");
ABSL_FLAG(std::string, system, "",
          "System text: instructions at the start of the conversation.");
ABSL_FLAG(std::string, load, "",
          "Continue a conversation from a file of /save. Its template, mode of "
          "thinking and system text replace those of the flags.");
ABSL_FLAG(bool, verbose, false,
          "Print token counts (also of cached tokens) and times to stderr "
          "after each answer.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// A running server answers GetModel at once.
constexpr absl::Duration kDescribeTimeout = absl::Seconds(20);
// Higher than the server's default: answers are longer than completions.
constexpr int32_t kDefaultMaxTokens = 1000;
// If the server knows no template for its model.
constexpr char kFallbackTemplate[] = "world";

// Sampling as in RWKV's own chat programs, where the flags do not differ.
v1::Sampling ChatSampling() {
  v1::Sampling flags;
  SetSampling(&flags);
  if (flags.preset() != v1::SAMPLING_PRESET_UNSPECIFIED) return flags;
  v1::Sampling sampling;
  if (!flags.has_mirostat()) sampling.set_top_p(0.3f);
  sampling.set_presence_penalty(0.5f);
  sampling.set_frequency_penalty(0.5f);
  sampling.set_penalty_decay(0.996f);
  sampling.MergeFrom(flags);
  return sampling;
}

absl::StatusOr<Conversation::Options> ConversationOptions() {
  Conversation::Options options;
  options.chat_template = absl::GetFlag(FLAGS_template);
  RWKVD_ASSIGN_OR_RETURN(options.thinking,
                         ThinkingFromName(absl::GetFlag(FLAGS_thinking)));
  options.request.set_max_tokens(kDefaultMaxTokens);
  SetMaxTokens(&options.request);
  *options.request.mutable_sampling() = ChatSampling();
  options.request.set_initial_state(InitialState());
  options.timeout = CallTimeout();
  return options;
}

// Checks that the server is running before the user types anything, and chooses
// its chat template if the flags name none.
grpc::Status Greet(v1::RwkvService::StubInterface& stub, Interrupt* interrupt,
                   bool interactive, std::string* chat_template) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kDescribeTimeout));
  const Interrupt::Guard guard(interrupt, &context);
  v1::GetModelResponse model;
  const grpc::Status status = stub.GetModel(&context, {}, &model);
  if (!status.ok()) return status;
  if (chat_template->empty()) *chat_template = model.chat_template();
  if (chat_template->empty()) *chat_template = kFallbackTemplate;
  if (interactive) {
    std::fprintf(stderr,
                 "%s (%s), chat template %s. /help lists commands, Ctrl-D "
                 "exits.\n",
                 model.name().c_str(), model.architecture().c_str(),
                 chat_template->c_str());
  }
  return status;
}

absl::StatusOr<int> RunChat(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("chat takes no arguments");
  }
  RWKVD_ASSIGN_OR_RETURN(Conversation::Options conversation_options,
                         ConversationOptions());
  Interrupt interrupt;
  const auto stub = v1::RwkvService::NewStub(Connect());
  const bool interactive = isatty(STDIN_FILENO) != 0;
  const grpc::Status greeting = Greet(*stub, &interrupt, interactive,
                                      &conversation_options.chat_template);
  if (interrupt.ended()) return kExitInterrupted;
  if (!greeting.ok()) return ExitCode(greeting);
  Conversation conversation(std::move(conversation_options), stub.get(),
                            &interrupt);
  LineReader lines(STDIN_FILENO, interrupt.end_fd());
  ChatSession::Options options;
  options.interactive = interactive;
  options.verbose = absl::GetFlag(FLAGS_verbose);
  if (WantJson()) {
    options.print_json = [](const v1::GenerateResponse& response) {
      PrintJson(response);
    };
  }
  ChatSession session(options, &conversation, &lines);
  RWKVD_RETURN_IF_ERROR(session.SetSystem(absl::GetFlag(FLAGS_system)));
  const std::string load = absl::GetFlag(FLAGS_load);
  if (!load.empty()) RWKVD_RETURN_IF_ERROR(session.Load(load));
  absl::Status end = conversation.AnswerStart().status();
  if (end.ok()) end = session.Run();
  if (absl::IsCancelled(end)) return kExitInterrupted;
  if (end.ok()) return kExitOk;
  PrintFailure(end);
  return kExitFailed;
}

constexpr absl::string_view kChatFiles[] = {"tools/rwkvctl/chat.cc",
                                            kMaxTokensFile, kSamplingFlagsFile,
                                            kInitialStateFile};

}  // namespace

const Command kChat = {
    "chat",
    "",
    "chat with the model",
    "Starts a conversation. Each line is a message. A message of several lines "
    "has a \\ at\nthe end of each line but the last, or stands between two "
    "lines of \"\"\". Ctrl-C stops\nan answer, Ctrl-D exits. /help lists "
    "commands such as /save, /load and /retry. For\nline editing and history: "
    "rlwrap rwkvctl chat.\n\nThe defaults are RWKV's settings for chat: top_p "
    "0.3, presence and frequency\npenalty 0.5, penalty decay 0.996, and at "
    "most 1000 tokens per answer.",
    "rwkvctl chat\n"
    "rwkvctl chat --thinking=off --system=\"Be brief.\" --verbose\n"
    "rwkvctl chat --load=yesterday.json\n"
    "echo \"Who are you?\" | rwkvctl chat",
    kChatFiles,
    &RunChat};

}  // namespace rwkvd
