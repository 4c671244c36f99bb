// SPDX-License-Identifier: Apache-2.0
// Measures forward passes of one model, by default the 0.4B shape of RWKV-7
// with random weights:
//   decode/T/N: N sequences advance by one token each, with logits.
//   prefill/T/N: one sequence advances by N tokens, with the last logits.
// T is the weight type, or the name of the given file, followed by the kind of
// activations unless that is auto, as in "int8:int8". "tokens" is tokens per
// second. The other columns compare with the machine's limits, which this
// process measures: "of_read" is the time that a plain loop takes to read the
// same weights, divided by the time of the step; "of_f32", "of_bf16", "of_int8"
// and "of_amx_int8" are the rate of the matmuls' operations, divided by the
// peak rate of that arithmetic.
//
// Run with: bazel run -c opt //tests/bench:model_bench -- [--weights=f32,bf16]
//   [--shape=rwkv7-0.4B] [--zeros=0.88] [--model=PATH] [--threads=N]
//   [--activations=auto,int8]
//   [--benchmark_filter=REGEX] [--benchmark_format=json]
// Random weights are written once to the directory for temporary files.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "core/kernels/targets/supported_kernels.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/machine_limits.h"
#include "tests/bench/random_model.h"

ABSL_FLAG(std::string, model, "",
          "Checkpoint to measure instead of random weights.");
ABSL_FLAG(std::string, shape, "rwkv7-0.4B",
          "Shape of the model with random weights.");
ABSL_FLAG(std::vector<std::string>, weights,
          (std::vector<std::string>{"f32", "bf16"}),
          "Types of the random weights, separated by commas: f32, bf16, f16, "
          "int8, int4, int4-mixed.");
ABSL_FLAG(std::vector<std::string>, activations,
          (std::vector<std::string>{"auto"}),
          "Kinds of activations, separated by commas, each measured with each "
          "model: auto, int8, f32.");
ABSL_FLAG(double, zeros, 0,
          "Share of hidden units of channel mixing that are zero (RWKV-7).");
ABSL_FLAG(int, threads, 0, "Compute threads; 0 for all usable processors.");
ABSL_FLAG(absl::Duration, budget, absl::Seconds(110),
          "Skip benchmarks that would start later than this.");

namespace rwkvd::bench {
namespace {

int Threads() {
  const int threads = absl::GetFlag(FLAGS_threads);
  return threads > 0 ? threads : UsableCpus();
}

// A model to measure. It is loaded when its first benchmark runs.
struct Subject {
  std::string name;
  std::string weights;  // "f32", ...: random ones, if there is no path
  std::string path;
  ActivationKind activations = ActivationKind::kAuto;
  std::unique_ptr<const BenchModel> loaded;
  double read_bytes_per_second = 0;  // read bandwidth, on its own weights
};

const BenchModel& Load(Subject& subject) {
  if (subject.loaded != nullptr) return *subject.loaded;
  const std::string path =
      !subject.path.empty()
          ? subject.path
          : RandomModelPath(*FindShape(absl::GetFlag(FLAGS_shape)),
                            absl::GetFlag(FLAGS_zeros),
                            absl::string_view(subject.weights));
  subject.loaded = std::make_unique<BenchModel>(
      LoadBenchModel(subject.name, path, subject.activations));
  ThreadPool pool(Threads());
  for (const Rate& rate :
       MeasureReads(pool, subject.loaded->regions, subject.name)) {
    subject.read_bytes_per_second =
        std::max(subject.read_bytes_per_second, rate.per_second);
  }
  return *subject.loaded;
}

void Run(benchmark::State& state, Subject* subject, int64_t sequences,
         int64_t tokens) {
  static const absl::Time begin = absl::Now();
  if (absl::Now() - begin > absl::GetFlag(FLAGS_budget)) {
    state.SkipWithError("--budget is used up");
    return;
  }
  const BenchModel& model = Load(*subject);
  ThreadPool pool(Threads());
  Steps steps(*model.model, sequences, tokens, &pool);
  for (auto _ : state) steps.Run();
  RWKVD_CHECK(steps.IsSane());

  using benchmark::Counter;
  const double times = double(state.iterations());
  state.counters["tokens"] = Counter(times * steps.tokens(), Counter::kIsRate);
  state.counters["of_read"] =
      Counter(times * model.bytes_per_step / subject->read_bytes_per_second,
              Counter::kIsRate);
  for (Resource resource : PeaksOf(model)) {
    const double peak = MeasureLimits(Threads()).Best(resource);
    if (peak == 0) continue;
    state.counters[absl::StrCat("of_", std::string(NameOf(resource)))] =
        Counter(times * steps.tokens() * model.operations_per_token / peak,
                Counter::kIsRate);
  }
}

void Register(Subject* subject) {
  const auto add = [&](const char* kind, int64_t number, int64_t sequences,
                       int64_t tokens) {
    benchmark::RegisterBenchmark(
        absl::StrCat(kind, "/", subject->name, "/", number).c_str(), Run,
        subject, sequences, tokens)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (int64_t num : {1, 4, 16, 32}) add("decode", num, num, 1);
  add("prefill", 512, 1, 512);
}

std::vector<std::unique_ptr<Subject>> Subjects() {
  std::vector<std::unique_ptr<Subject>> subjects;
  const auto add = [&](const std::string& name, const std::string& weights,
                       const std::string& path) {
    for (const std::string& text : absl::GetFlag(FLAGS_activations)) {
      const auto kind = ActivationKindFromName(text);
      if (!kind.has_value()) return false;
      const std::string suffix =
          *kind == ActivationKind::kAuto ? "" : absl::StrCat(":", text);
      subjects.push_back(std::make_unique<Subject>(
          Subject{absl::StrCat(name, suffix), weights, path, *kind}));
    }
    return true;
  };
  const std::string path = absl::GetFlag(FLAGS_model);
  if (!path.empty()) {
    if (!add(std::filesystem::path(path).filename(), "", path)) return {};
    return subjects;
  }
  for (const std::string& weights : absl::GetFlag(FLAGS_weights)) {
    if (!IsWeightName(weights) || !add(weights, weights, "")) return {};
  }
  return subjects;
}

int Main() {
  if (FindShape(absl::GetFlag(FLAGS_shape)) == nullptr) {
    std::fprintf(stderr, "--shape must be one of");
    for (const Shape& shape : kShapes) std::fprintf(stderr, " %s", shape.name);
    std::fprintf(stderr, "\n");
    return 1;
  }
  const auto subjects = Subjects();
  if (subjects.empty()) {
    std::fprintf(stderr,
                 "--weights must be a comma-separated list of names from: %s; "
                 "--activations, from: auto, int8, f32\n",
                 absl::StrJoin(kWeightNames, ", ").c_str());
    return 1;
  }
  const Limits& limits = MeasureLimits(Threads());
  benchmark::AddCustomContext("limits", ToString(limits));
  benchmark::AddCustomContext("kernels", BestKernels().name);
  for (const auto& subject : subjects) Register(subject.get());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return rwkvd::bench::Main();
}
