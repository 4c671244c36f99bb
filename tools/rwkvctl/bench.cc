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
          "Closed loop: number of clients, each of which sends its next "
          "request when its last one ends. Open loop: maximum number of "
          "running requests.");
ABSL_FLAG(double, rate, 0,
          "Open loop: mean number of requests per second, which arrive at "
          "random times whatever the speed of the server. 0 for a closed "
          "loop.");
ABSL_FLAG(int64_t, requests, 0, "Number of requests to send; 0 for no limit.");
ABSL_FLAG(absl::Duration, duration, absl::ZeroDuration(),
          "Length of the run, after which running requests are cancelled; 0 "
          "for no limit. Default: 10s if --requests is not set either.");
ABSL_FLAG(rwkvd::TokenRange, prompt_tokens, rwkvd::TokenRange(),
          "Tokens per prompt: a number, or a range such as 16:512.");
ABSL_FLAG(rwkvd::TokenRange, output_tokens, rwkvd::TokenRange(),
          "Maximum tokens per answer: a number or a range.");
ABSL_FLAG(uint64_t, workload_seed, 1,
          "Seed of the prompts, lengths, arrival times and sampling: the same "
          "seed gives the same requests. The server's state cache may still "
          "hold prompts of an earlier run with the same seed.");
ABSL_FLAG(int32_t, connections, 1,
          "Number of connections over which requests are distributed.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

constexpr absl::Duration kDefaultDuration = absl::Seconds(10);
// A running server answers GetModel at once.
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

absl::StatusOr<int> RunBench(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("bench takes no arguments");
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

constexpr absl::string_view kBenchFiles[] = {"tools/rwkvctl/bench.cc",
                                             kSamplingFlagsFile};

}  // namespace

const Command kBench = {
    "bench",
    "",
    "measure speed",
    "Sends requests with random prompts, and reports throughput, time to first "
    "token\nand the time between tokens. Ctrl-C ends the run early with a "
    "report of the\nrequests so far. The exit code is 1 if any request failed.",
    "rwkvctl bench --concurrency=16 --duration=30s\n"
    "rwkvctl bench --rate=5 --concurrency=200 --prompt_tokens=16:512 "
    "--output_tokens=1:128\n"
    "rwkvctl bench --requests=100 --json | jq .throughput",
    kBenchFiles,
    &RunBench};

}  // namespace rwkvd
