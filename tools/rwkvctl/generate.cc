// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/initial_state.h"
#include "tools/rwkvctl/input.h"
#include "tools/rwkvctl/max_tokens.h"
#include "tools/rwkvctl/report.h"
#include "tools/rwkvctl/sampling_flags.h"
#include "tools/rwkvctl/saved_state.h"

ABSL_FLAG(std::string, stop, "",
          "The answer ends before any of these strings: separated by commas, "
          "with C's escapes (\\n, \\x2c for a comma).");
ABSL_FLAG(std::string, stop_tokens, "",
          "The answer ends with any of these token ids, separated by commas.");
ABSL_FLAG(bool, logprobs, false,
          "Ask for each token's log-probability (shown with --json).");
ABSL_FLAG(int32_t, top_logprobs, 0,
          "How many of the likeliest tokens to list at each place (shown with "
          "--json).");
ABSL_FLAG(bool, prompt_logprobs, false,
          "Ask for the log-probabilities of the prompt's tokens, too (shown "
          "with --json).");
ABSL_FLAG(int32_t, top_prompt_logprobs, 0,
          "How many of the likeliest tokens to list at each place of the "
          "prompt (shown with --json).");
ABSL_FLAG(std::string, pin, "",
          "Keep the state after the prompt under this name, so that prompts "
          "which begin alike are quick to read; see rwkvctl pins.");
ABSL_FLAG(absl::Duration, pin_ttl, absl::ZeroDuration(),
          "How long --pin lasts; 0 for until it is unpinned.");
ABSL_FLAG(bool, drawn_logprobs, false,
          "Ask for each token's log-probability after all samplers (shown with "
          "--json).");
ABSL_FLAG(int32_t, top_drawn_logprobs, 0,
          "How many of the likeliest tokens after all samplers to list at each "
          "place (shown with --json).");
ABSL_FLAG(int32_t, n, 1,
          "How many answers to draw; more than one are shown as they end, each "
          "under its number.");
ABSL_FLAG(int32_t, best_of, 0,
          "Draw so many answers and show the --n likeliest; 0 for as many.");
ABSL_FLAG(bool, prompt_is_tokens, false,
          "The prompt is token ids separated by commas, not text.");
ABSL_FLAG(bool, echo, false, "Print the prompt before the answer.");
ABSL_FLAG(bool, stats, false,
          "Afterwards tell token counts and times on the standard error.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

absl::Status SetStops(v1::GenerateRequest* request) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> strings,
                         ParseStrings(absl::GetFlag(FLAGS_stop)));
  for (const std::string& string : strings) request->add_stop_strings(string);
  RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                         ParseIds(absl::GetFlag(FLAGS_stop_tokens)));
  request->mutable_stop_tokens()->Assign(ids.begin(), ids.end());
  return absl::OkStatus();
}

void SetPin(v1::GenerateRequest* request) {
  const std::string name = absl::GetFlag(FLAGS_pin);
  if (name.empty()) return;
  request->mutable_pin()->set_name(name);
  const absl::Duration ttl = absl::GetFlag(FLAGS_pin_ttl);
  if (ttl != absl::ZeroDuration()) {
    request->mutable_pin()->set_ttl_seconds(absl::ToDoubleSeconds(ttl));
  }
}

absl::StatusOr<v1::GenerateRequest> MakeRequest(const std::string& prompt) {
  v1::GenerateRequest request;
  if (absl::GetFlag(FLAGS_prompt_is_tokens)) {
    RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(prompt));
    request.mutable_prompt()->mutable_tokens()->mutable_ids()->Assign(
        ids.begin(), ids.end());
  } else {
    // As bytes: a terminal may give anything.
    request.mutable_prompt()->set_bytes(prompt);
  }
  SetMaxTokens(&request);
  SetSampling(request.mutable_sampling());
  RWKVD_RETURN_IF_ERROR(SetStops(&request));
  request.set_logprobs(absl::GetFlag(FLAGS_logprobs));
  request.set_top_logprobs(absl::GetFlag(FLAGS_top_logprobs));
  request.set_echo(absl::GetFlag(FLAGS_prompt_logprobs));
  request.set_echo_top_logprobs(absl::GetFlag(FLAGS_top_prompt_logprobs));
  SetPin(&request);
  request.set_drawn_logprobs(absl::GetFlag(FLAGS_drawn_logprobs));
  request.set_top_drawn_logprobs(absl::GetFlag(FLAGS_top_drawn_logprobs));
  request.set_initial_state(InitialState());
  request.set_n(absl::GetFlag(FLAGS_n));
  if (const int32_t best_of = absl::GetFlag(FLAGS_best_of); best_of != 0) {
    request.set_best_of(best_of);
  }
  SetStates(&request);
  return request;
}

void Show(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Shows a stream's messages: one answer as it comes, several as they end.
class Answers {
 public:
  explicit Answers(bool several) : several_(several) {}

  void Take(const v1::GenerateResponse& response) {
    const bool ends = response.has_finish();
    const std::string& text =
        ends ? response.finish().text() : response.delta().text();
    if (response.has_state_chunk()) {
      state_ += response.state_chunk().data();
      return;
    }
    if (WantJson()) return PrintJson(response);
    if (!several_) return Show(ends ? text + "\n" : text);
    if (!ends) {
      texts_[response.delta().sample()] += text;
      return;
    }
    const int32_t sample = response.finish().sample();
    Show(absl::StrCat("--- ", sample, " ---\n", texts_[sample], text, "\n"));
    texts_.erase(sample);
  }

  // Of one answer.
  const std::string& state() const { return state_; }

 private:
  const bool several_;
  std::string state_;
  std::map<int32_t, std::string> texts_;  // by sample
};

absl::StatusOr<int> Run(const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) {
    return absl::InvalidArgumentError("one prompt at most; quote it");
  }
  const std::string prompt =
      arguments.empty() ? "" : ReadArgument(arguments[0]);
  RWKVD_ASSIGN_OR_RETURN(v1::GenerateRequest request, MakeRequest(prompt));
  RWKVD_RETURN_IF_ERROR(CheckSaveState());
  Call call;  // before gRPC has threads
  const auto stub = v1::RwkvService::NewStub(Connect());
  const grpc::Status loaded = LoadState(stub.get(), &request);
  if (!loaded.ok()) return call.ExitCode(loaded);
  const auto reader = stub->Generate(call.context(), request);
  const bool echo = absl::GetFlag(FLAGS_echo) && !WantJson();
  if (echo) Show(prompt);
  v1::GenerateResponse response;
  Answers answers(request.n() > 1);
  bool line_open = echo;  // something was shown and no end of it
  while (reader->Read(&response)) {
    answers.Take(response);
    line_open = !response.has_finish();
    if (response.has_finish() && absl::GetFlag(FLAGS_stats)) {
      TellStats(response.finish());
    }
  }
  if (line_open && !WantJson()) Show("\n");
  const absl::Status saved = SaveState(answers.state());
  if (!saved.ok()) return ExitCode(ToGrpcStatus(saved));
  return call.ExitCode(reader->Finish());
}

constexpr absl::string_view kFiles[] = {"tools/rwkvctl/generate.cc",
                                        kMaxTokensFile, kSamplingFlagsFile,
                                        kSavedStateFile, kInitialStateFile};

}  // namespace

const Command kGenerate = {
    "generate",
    "[PROMPT | -]",
    "continue a prompt",
    "Continues a prompt and shows the answer while it is written. \"-\" reads "
    "the\nprompt from the standard input. Ctrl-C ends the request.",
    "rwkvctl generate --echo \"The President of the United States\"\n"
    "rwkvctl generate --max_tokens=50 --temperature=0.8 --top_p=0.5 --seed=1 "
    "Once\n"
    "rwkvctl generate --stop='\\n\\n' --stats - < prompt.txt\n"
    "rwkvctl generate --max_tokens=0 --pin=rules --pin_ttl=1h - < rules.txt\n"
    "rwkvctl generate --json --top_logprobs=5 \"Two and two is\"",
    kFiles,
    &Run};

}  // namespace rwkvd
