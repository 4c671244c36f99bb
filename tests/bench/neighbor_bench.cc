// SPDX-License-Identifier: Apache-2.0
// Measures how much slower decoding becomes while other processes (neighbors)
// keep processors busy. Rounds without and with neighbors alternate. The fair
// share is the speed that would remain if every runnable thread got the same
// share of the processors: on two processors, two threads with one neighbor
// would keep 2/3 of their speed.
//
// Run with: bazel run -c opt //tests/bench:neighbor_bench --
//   [--sequences=16] [--neighbors=1] [--rounds=3] [--seconds=2] [--threads=N]
//   [--shape=rwkv7-0.4B] [--weights=bf16] [--model=PATH]
// Random weights are written once to the directory for temporary files.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/random_model.h"
#include "tests/bench/timing.h"

ABSL_FLAG(std::string, model, "",
          "Checkpoint to measure instead of random weights.");
ABSL_FLAG(std::string, shape, "rwkv7-0.4B",
          "Shape of the model with random weights.");
ABSL_FLAG(std::string, weights, "bf16", "Type of the random weights.");
ABSL_FLAG(int, sequences, 16, "Number of sequences decoded together.");
ABSL_FLAG(int, neighbors, 1, "Number of processes that keep busy.");
ABSL_FLAG(int, rounds, 3, "Rounds with neighbors, and as many without.");
ABSL_FLAG(double, seconds, 2, "Length of a round.");
ABSL_FLAG(int, threads, 0, "Compute threads; 0 for all usable processors.");

namespace rwkvd::bench {
namespace {

// Processes that loop between Begin and End, and are stopped otherwise. The
// destructor ends them. Create this object before allocating much memory: a
// page's first write after a fork copies it, which would slow the steps.
class Neighbors {
 public:
  explicit Neighbors(int number) {
    for (int i = 0; i < number; ++i) {
      const pid_t pid = fork();
      RWKVD_CHECK(pid >= 0);
      if (pid == 0) KeepBusy();
      pids_.push_back(pid);
    }
    Signal(SIGSTOP);
  }
  ~Neighbors() {
    Signal(SIGKILL);
    for (pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }
  Neighbors(const Neighbors&) = delete;
  Neighbors& operator=(const Neighbors&) = delete;

  void Begin() const { Signal(SIGCONT); }
  void End() const { Signal(SIGSTOP); }

 private:
  [[noreturn]] static void KeepBusy() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) asm volatile("");
  }

  void Signal(int signal) const {
    for (pid_t pid : pids_) kill(pid, signal);
  }

  std::vector<pid_t> pids_;
};

// CPU time that all threads of this process have used so far.
double CpuSeconds() {
  timespec now;
  RWKVD_CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

struct Observed {
  std::vector<double> steps;  // seconds of each
  double seconds = 0;         // their sum
  double cpu_seconds = 0;

  double StepsPerSecond() const { return double(steps.size()) / seconds; }
};

void RunSteps(Steps& steps, double seconds, Observed* observed) {
  const double cpu_before = CpuSeconds();
  for (double left = seconds; left > 0;) {
    const double taken = Seconds([&] { steps.Run(); });
    observed->steps.push_back(taken);
    observed->seconds += taken;
    left -= taken;
  }
  observed->cpu_seconds += CpuSeconds() - cpu_before;
}

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * double(values.size() - 1))];
}

void Print(const char* what, const Observed& observed, int64_t tokens) {
  std::printf(
      "%-14s %7.1f tokens/s, steps p50 %6.1f ms, p99 %6.1f ms, on %.2f "
      "processors\n",
      what, double(tokens) * observed.StepsPerSecond(),
      Percentile(observed.steps, 0.5) * 1e3,
      Percentile(observed.steps, 0.99) * 1e3,
      observed.cpu_seconds / observed.seconds);
}

BenchModel Load() {
  const std::string path = absl::GetFlag(FLAGS_model);
  if (!path.empty()) return LoadBenchModel(path, path);
  const Shape* shape = FindShape(absl::GetFlag(FLAGS_shape));
  const std::string weights = absl::GetFlag(FLAGS_weights);
  if (shape == nullptr || !IsWeightName(weights)) {
    std::fprintf(stderr, "--shape or --weights: unknown value\n");
    std::exit(1);
  }
  return LoadBenchModel(weights, RandomModelPath(*shape, 0, weights));
}

int Main() {
  const int usable = UsableCpus();
  const int threads =
      absl::GetFlag(FLAGS_threads) > 0 ? absl::GetFlag(FLAGS_threads) : usable;
  const int num_neighbors = absl::GetFlag(FLAGS_neighbors);
  const double seconds = absl::GetFlag(FLAGS_seconds);
  const Neighbors neighbors(num_neighbors);
  const BenchModel model = Load();
  ThreadPool pool(threads);
  Steps steps(*model.model, absl::GetFlag(FLAGS_sequences), 1, &pool);
  steps.Run();  // loads the weights into memory
  Observed alone, shared;
  for (int i = 0; i < absl::GetFlag(FLAGS_rounds); ++i) {
    RunSteps(steps, seconds, &alone);
    neighbors.Begin();
    RunSteps(steps, seconds, &shared);
    neighbors.End();
  }
  Print("alone", alone, steps.tokens());
  Print("with neighbors", shared, steps.tokens());
  std::printf("remaining      %7.1f %%; fair share: %.1f %%\n",
              100 * shared.StepsPerSecond() / alone.StepsPerSecond(),
              100 * std::min(1.0, double(usable) / (threads + num_neighbors)));
  return 0;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return rwkvd::bench::Main();
}
