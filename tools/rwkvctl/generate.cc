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
#include "tools/rwkvctl/token_texts.h"

ABSL_FLAG(std::string, stop, "",
          "Stop the answer before any of these strings, separated by commas, "
          "with C escapes (\\n, \\x2c for a comma).");
ABSL_FLAG(std::string, stop_tokens, "",
          "Stop the answer at any of these token ids, separated by commas.");
ABSL_FLAG(bool, logprobs, false,
          "Request each token's log-probability (printed with --json).");
ABSL_FLAG(int32_t, top_logprobs, 0,
          "Number of likeliest tokens to report at each position (printed with "
          "--json).");
ABSL_FLAG(bool, prompt_logprobs, false,
          "Request the log-probabilities of the prompt's tokens, too (printed "
          "with --json).");
ABSL_FLAG(int32_t, top_prompt_logprobs, 0,
          "Number of likeliest tokens to report at each position of the prompt "
          "(printed with --json).");
ABSL_FLAG(std::string, pin, "",
          "Keep the state after the prompt under this name, which speeds up "
          "prompts with the same beginning; see rwkvctl pins.");
ABSL_FLAG(absl::Duration, pin_ttl, absl::ZeroDuration(),
          "How long the server keeps the state of --pin; 0 for until it is "
          "unpinned.");
ABSL_FLAG(bool, drawn_logprobs, false,
          "Request each token's log-probability after all samplers (printed "
          "with --json).");
ABSL_FLAG(int32_t, top_drawn_logprobs, 0,
          "Number of likeliest tokens after all samplers to report at each "
          "position (printed with --json).");
ABSL_FLAG(int32_t, n, 1,
          "Number of answers. If more than one, each is printed when it is "
          "complete, after its number.");
ABSL_FLAG(int32_t, best_of, 0,
          "Number of answers to generate, of which the --n likeliest are "
          "printed; 0 for --n.");
ABSL_FLAG(bool, prompt_is_tokens, false,
          "The prompt is a list of token ids separated by commas.");
ABSL_FLAG(bool, echo, false, "Print the prompt before the answer.");
ABSL_FLAG(bool, stats, false,
          "Print token counts and times to stderr after the answer.");

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
    RWKVD_RETURN_IF_ERROR(SetInput(prompt, request.mutable_prompt()));
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
  SetStateOptions(&request);
  return request;
}

void Write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// The output in a delta: its text, or each of its token ids and a comma.
std::string OutputOf(const v1::Delta& delta) {
  if (!TextsAreTokens()) return delta.text();
  std::string ids;
  for (const v1::Token& token : delta.tokens()) {
    absl::StrAppend(&ids, token.id(), ",");
  }
  return ids;
}

// Prints the messages of a response stream. A single answer is printed as it
// arrives; of several answers, each is printed when it is complete.
class AnswerWriter {
 public:
  explicit AnswerWriter(bool several) : several_(several) {}

  void Add(const v1::GenerateResponse& response) {
    const bool ends = response.has_finish();
    const std::string text =
        ends ? response.finish().text() : OutputOf(response.delta());
    if (response.has_state_chunk()) {
      state_ += response.state_chunk().data();
      return;
    }
    if (WantJson()) return PrintJson(response);
    if (!several_) return Write(ends ? text + "\n" : text);
    if (!ends) {
      texts_[response.delta().sample()] += text;
      return;
    }
    const int32_t sample = response.finish().sample();
    Write(absl::StrCat("--- ", sample, " ---\n", texts_[sample], text, "\n"));
    texts_.erase(sample);
  }

  // The state that the server returned, if any. Only for a single answer.
  const std::string& state() const { return state_; }

 private:
  const bool several_;
  std::string state_;
  std::map<int32_t, std::string> texts_;  // by sample
};

absl::StatusOr<int> RunGenerate(const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) {
    return absl::InvalidArgumentError(
        "generate takes one prompt; put it in quotes");
  }
  const std::string prompt =
      arguments.empty() ? "" : ReadArgument(arguments[0]);
  RWKVD_ASSIGN_OR_RETURN(v1::GenerateRequest request, MakeRequest(prompt));
  RWKVD_RETURN_IF_ERROR(CheckSaveState());
  Call call;  // before gRPC starts threads, which inherit the signal mask
  const auto stub = v1::RwkvService::NewStub(Connect());
  const grpc::Status uploaded = UploadState(stub.get(), &request);
  if (!uploaded.ok()) return call.ExitCode(uploaded);
  const auto reader = stub->Generate(call.context(), request);
  const bool echo = absl::GetFlag(FLAGS_echo) && !WantJson();
  if (echo) Write(prompt);
  v1::GenerateResponse response;
  AnswerWriter writer(request.n() > 1);
  bool line_open = echo;  // whether the last line lacks its line break
  while (reader->Read(&response)) {
    writer.Add(response);
    line_open = !response.has_finish();
    if (response.has_finish() && absl::GetFlag(FLAGS_stats)) {
      PrintStats(response.finish());
    }
  }
  if (line_open && !WantJson()) Write("\n");
  const absl::Status saved = SaveState(writer.state());
  if (!saved.ok()) return ExitCode(ToGrpcStatus(saved));
  return call.ExitCode(reader->Finish());
}

constexpr absl::string_view kGenerateFiles[] = {
    "tools/rwkvctl/generate.cc", kMaxTokensFile,
    kSamplingFlagsFile,          kSavedStateFile,
    kInitialStateFile,           kTokenTextsFile};

}  // namespace

const Command kGenerate = {
    "generate",
    "[PROMPT | -]",
    "continue a prompt",
    "Continues a prompt and prints the answer as it is generated. \"-\" reads "
    "the prompt\nfrom standard input. Ctrl-C cancels the request.",
    "rwkvctl generate --echo \"The President of the United States\"\n"
    "rwkvctl generate --max_tokens=50 --temperature=0.8 --top_p=0.5 --seed=1 "
    "Once\n"
    "rwkvctl generate --stop='\\n\\n' --stats - < prompt.txt\n"
    "rwkvctl generate --max_tokens=0 --pin=rules --pin_ttl=1h - < rules.txt\n"
    "rwkvctl generate --json --top_logprobs=5 \"Two and two is\"\n"
    "rwkvctl generate --tokens --stop_tokens=0 128,64,7",
    kGenerateFiles,
    &RunGenerate};

}  // namespace rwkvd
