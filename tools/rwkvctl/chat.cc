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
#include "tools/rwkvctl/chat/chat_template.h"
#include "tools/rwkvctl/chat/conversation.h"
#include "tools/rwkvctl/chat/interrupt.h"
#include "tools/rwkvctl/chat/line_reader.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/initial_state.h"
#include "tools/rwkvctl/max_tokens.h"
#include "tools/rwkvctl/report.h"
#include "tools/rwkvctl/sampling_flags.h"

ABSL_FLAG(std::string, template, "world",
          "How the model was taught to converse: world (also G1), think, "
          "no-think or raven.");
ABSL_FLAG(std::string, system, "", "What the model is told before all else.");
ABSL_FLAG(std::string, load, "",
          "Go on from a file that /save wrote; its template and system text "
          "count.");
ABSL_FLAG(bool, verbose, false,
          "After each answer tell its token counts, how many of them the "
          "server knew already, and times, on the standard error.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// A server that is there says at once what it serves.
constexpr absl::Duration kModelTimeout = absl::Seconds(20);
// An answer may be longer than a completion.
constexpr int32_t kDefaultMaxTokens = 1000;

// What RWKV's own chat programs draw with, unless the flags say otherwise.
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

absl::StatusOr<Conversation::Manner> MannerFromFlags() {
  Conversation::Manner manner;
  RWKVD_ASSIGN_OR_RETURN(manner.style,
                         FindTemplate(absl::GetFlag(FLAGS_template)));
  manner.request.set_max_tokens(kDefaultMaxTokens);
  SetMaxTokens(&manner.request);
  *manner.request.mutable_sampling() = ChatSampling();
  manner.request.set_initial_state(InitialState());
  manner.timeout = CallTimeout();
  return manner;
}

// Finds out, before somebody types, whether the server is there.
grpc::Status Greet(v1::RwkvService::StubInterface& stub, Interrupt* interrupt,
                   bool interactive) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kModelTimeout));
  const Interrupt::Guard guard(interrupt, &context);
  v1::GetModelResponse model;
  const grpc::Status status = stub.GetModel(&context, {}, &model);
  if (status.ok() && interactive) {
    std::fprintf(stderr, "%s (%s). /help lists orders, Ctrl-D ends.\n",
                 model.name().c_str(), model.architecture().c_str());
  }
  return status;
}

absl::StatusOr<int> Run(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("no argument is needed");
  }
  RWKVD_ASSIGN_OR_RETURN(Conversation::Manner manner, MannerFromFlags());
  Interrupt interrupt;
  const auto stub = v1::RwkvService::NewStub(Connect());
  Conversation conversation(std::move(manner), stub.get(), &interrupt);
  LineReader lines(STDIN_FILENO, interrupt.end_fd());
  ChatSession::Options options;
  options.interactive = isatty(STDIN_FILENO) != 0;
  options.verbose = absl::GetFlag(FLAGS_verbose);
  if (WantJson()) {
    options.show_json = [](const v1::GenerateResponse& response) {
      PrintJson(response);
    };
  }
  ChatSession session(options, &conversation, &lines);
  RWKVD_RETURN_IF_ERROR(session.SetSystem(absl::GetFlag(FLAGS_system)));
  const std::string load = absl::GetFlag(FLAGS_load);
  if (!load.empty()) RWKVD_RETURN_IF_ERROR(session.Load(load));
  const grpc::Status greeting = Greet(*stub, &interrupt, options.interactive);
  if (interrupt.ended()) return kExitInterrupted;
  if (!greeting.ok()) return ExitCode(greeting);
  const absl::Status end = session.Run();
  if (absl::IsCancelled(end)) return kExitInterrupted;
  if (end.ok()) return kExitOk;
  TellFailure(end);
  return kExitFailed;
}

constexpr absl::string_view kFiles[] = {"tools/rwkvctl/chat.cc", kMaxTokensFile,
                                        kSamplingFlagsFile, kInitialStateFile};

}  // namespace

const Command kChat = {
    "chat",
    "",
    "converse",
    "A conversation. A line is said as it stands, one that ends with \\ goes "
    "on "
    "with the\nnext, and so does all between two lines of \"\"\". Ctrl-C ends "
    "an answer, Ctrl-D the\nconversation. /help lists orders: /save, /load, "
    "/retry and so on. For lines that can\nbe edited and called back: rlwrap "
    "rwkvctl chat.\n\nUnless flags say otherwise, RWKV's settings for chat are "
    "used: top_p 0.3, presence\nand frequency penalty 0.5, penalty decay "
    "0.996; "
    "and at most 1000 tokens.",
    "rwkvctl chat\n"
    "rwkvctl chat --template=no-think --system=\"Be brief.\" --verbose\n"
    "rwkvctl chat --load=yesterday.json\n"
    "echo \"Who are you?\" | rwkvctl chat",
    kFiles,
    &Run};

}  // namespace rwkvd
