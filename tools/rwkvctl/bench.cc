// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/signal_watcher.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/bench/bench_options.h"
#include "tools/rwkvctl/bench/bench_report.h"
#include "tools/rwkvctl/bench/run_bench.h"
#include "tools/rwkvctl/bench/stopper.h"
#include "tools/rwkvctl/bench/workload.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/sampling_flags.h"

ABSL_FLAG(int32_t, concurrency, 8,
          "Closed loop: how many clients, each of which sends a request when "
          "its last one ended. Open loop: the most requests under way.");
ABSL_FLAG(double, rate, 0,
          "Open loop: how many requests arrive in a second, in the mean and "
          "at random times, however fast the server is. 0: closed loop.");
ABSL_FLAG(int64_t, requests, 0, "End after so many requests. 0: no limit.");
ABSL_FLAG(absl::Duration, duration, absl::ZeroDuration(),
          "End after this time; what is under way is cut short. 0: no limit. "
          "If neither limit is given, 10s.");
ABSL_FLAG(rwkvd::TokenRange, prompt_tokens, rwkvd::TokenRange(),
          "Length of a prompt: a number, or a range such as 16:512.");
ABSL_FLAG(rwkvd::TokenRange, output_tokens, rwkvd::TokenRange(),
          "Most tokens of an answer: a number or a range.");
ABSL_FLAG(uint64_t, workload_seed, 1,
          "Decides prompts, lengths, times of arrival and how tokens are "
          "drawn: the same seed, the same requests. What a server has read "
          "with the same seed before, its cache may still know.");
ABSL_FLAG(int32_t, connections, 1,
          "How many connections the requests are spread over.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

constexpr absl::Duration kDefaultDuration = absl::Seconds(10);
// A server that is there says at once what it serves.
constexpr absl::Duration kModelTimeout = absl::Seconds(20);

BenchOptions OptionsFromFlags() {
  BenchOptions options;
  options.concurrency = absl::GetFlag(FLAGS_concurrency);
  options.connections = absl::GetFlag(FLAGS_connections);
  options.rate = absl::GetFlag(FLAGS_rate);
  options.requests = absl::GetFlag(FLAGS_requests);
  options.duration = absl::GetFlag(FLAGS_duration);
  if (options.requests == 0 && options.duration == absl::ZeroDuration()) {
    options.duration = kDefaultDuration;
  }
  options.timeout = CallTimeout();
  options.prompt_tokens = absl::GetFlag(FLAGS_prompt_tokens);
  options.output_tokens = absl::GetFlag(FLAGS_output_tokens);
  options.workload_seed = absl::GetFlag(FLAGS_workload_seed);
  SetSampling(&options.sampling);
  return options;
}

grpc::Status GetModel(const std::shared_ptr<grpc::Channel>& channel,
                      Stopper* stopper, v1::GetModelResponse* model) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kModelTimeout));
  const Stopper::Guard guard(stopper, &context);
  return v1::RwkvService::NewStub(channel)->GetModel(&context, {}, model);
}

absl::StatusOr<int> Run(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("no argument is needed");
  }
  const BenchOptions options = OptionsFromFlags();
  RWKVD_RETURN_IF_ERROR(Validate(options));
  Stopper stopper;
  std::atomic<bool> interrupted = false;
  SignalWatcher signals;
  signals.Start([&](int) {
    interrupted = true;
    stopper.Stop();
  });
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < options.connections; ++i) {
    channels.push_back(Connect(/*own_connection=*/true));
  }
  v1::GetModelResponse model;
  const grpc::Status status = GetModel(channels[0], &stopper, &model);
  if (interrupted) return kExitInterrupted;
  if (!status.ok()) return ExitCode(status);
  const BenchResult result =
      RunBench(options, Workload(options, model), channels, &stopper);
  signals.Stop();
  std::printf("%s", WantJson()
                        ? (JsonReport(options, model, result) + "\n").c_str()
                        : TextReport(options, model, result).c_str());
  if (interrupted) return kExitInterrupted;
  return result.measurements.failed() == 0 ? kExitOk : kExitFailed;
}

constexpr absl::string_view kFiles[] = {"tools/rwkvctl/bench.cc",
                                        kSamplingFlagsFile};

}  // namespace

const Command kBench = {
    "bench",
    "",
    "measure speed",
    "Sends requests with random prompts for a while, and tells how many tokens "
    "came a\nsecond, how long the first token took, and how far apart the next "
    "ones came.\nCtrl-C ends it early; the report then covers what there was. "
    "Fails if any request\nfailed.",
    "rwkvctl bench --concurrency=16 --duration=30s\n"
    "rwkvctl bench --rate=5 --concurrency=200 --prompt_tokens=16:512 "
    "--output_tokens=1:128\n"
    "rwkvctl bench --requests=100 --json | jq .throughput",
    kFiles,
    &Run};

}  // namespace rwkvd
