// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <optional>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/initial_state.h"
#include "tools/rwkvctl/input.h"
#include "tools/rwkvctl/sampling_flags.h"

ABSL_FLAG(std::optional<int32_t>, max_tokens, std::nullopt,
          "Most tokens to draw. The server's default is 256.");
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
  if (auto v = absl::GetFlag(FLAGS_max_tokens)) request.set_max_tokens(*v);
  SetSampling(request.mutable_sampling());
  RWKVD_RETURN_IF_ERROR(SetStops(&request));
  request.set_logprobs(absl::GetFlag(FLAGS_logprobs));
  request.set_top_logprobs(absl::GetFlag(FLAGS_top_logprobs));
  request.set_initial_state(InitialState());
  return request;
}

void Show(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void ShowStats(const v1::Finish& finish) {
  const v1::Usage& usage = finish.usage();
  const v1::Times& times = finish.times();
  const double speed = times.decode_seconds() > 0
                           ? static_cast<double>(usage.generated_tokens()) /
                                 times.decode_seconds()
                           : 0;
  absl::FPrintF(
      stderr,
      "%s; prompt %d tokens (%d cached), generated %d; queue %.1f ms, prefill "
      "%.1f ms, decode %.1f ms (%.1f tokens/s), first token after %.1f ms; "
      "seed %d\n",
      v1::FinishReason_Name(finish.reason()), usage.prompt_tokens(),
      usage.cached_tokens(), usage.generated_tokens(),
      1e3 * times.queue_seconds(), 1e3 * times.prefill_seconds(),
      1e3 * times.decode_seconds(), speed,
      1e3 * times.time_to_first_token_seconds(), finish.seed());
}

absl::StatusOr<int> Run(const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) {
    return absl::InvalidArgumentError("one prompt at most; quote it");
  }
  const std::string prompt =
      arguments.empty() ? "" : ReadArgument(arguments[0]);
  RWKVD_ASSIGN_OR_RETURN(const v1::GenerateRequest request,
                         MakeRequest(prompt));
  Call call;
  const auto stub = v1::RwkvService::NewStub(Connect());
  const auto reader = stub->Generate(call.context(), request);
  if (absl::GetFlag(FLAGS_echo) && !WantJson()) Show(prompt);
  v1::GenerateResponse response;
  std::optional<v1::Finish> finish;
  while (reader->Read(&response)) {
    if (response.has_finish()) finish = response.finish();
    if (WantJson()) {
      PrintJson(response);
    } else {
      Show(response.has_delta() ? response.delta().text()
                                : response.finish().text());
    }
  }
  if (!WantJson()) Show("\n");
  if (finish && absl::GetFlag(FLAGS_stats)) ShowStats(*finish);
  return call.ExitCode(reader->Finish());
}

constexpr absl::string_view kFiles[] = {"tools/rwkvctl/generate.cc",
                                        kSamplingFlagsFile, kInitialStateFile};

}  // namespace

const Command kGenerate = {
    "generate", "[PROMPT | -]",
    "Continues a prompt and shows the answer while it is written. \"-\" reads "
    "the\nprompt from the standard input. Ctrl-C ends the request.",
    kFiles, &Run};

}  // namespace rwkvd
