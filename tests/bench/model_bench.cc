// SPDX-License-Identifier: Apache-2.0
// One RWKV-4 network with random weights of the 430M shape (24 layers, 1024,
// vocabulary 50277), as f32 and bf16:
//   decode/T/N: N sequences advance by one token each, with logits.
//   prefill/T/N: one sequence advances by N tokens, with the last logits.
// Beside the tokens per second: the share of this machine's read bandwidth
// that reading the weights once a step takes ("of_read"), and of its f32
// multiply-adds ("of_flops"), both measured in the same process.
// Run with: bazel run -c opt //tests/bench:model_bench -- [--threads=N]
// Weights are written once to the folder for temporary files (2.5 GB).

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "benchmark/benchmark.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "tests/bench/limits.h"
#include "tests/bench/random_model.h"

namespace rwkvd::bench {
namespace {

struct Loaded {
  std::shared_ptr<const TensorFile> file;
  std::unique_ptr<const Model> model;
  // Read and multiplied for each token; the embedding is only looked up.
  int64_t bytes_per_step = 0;
  int64_t weights_per_token = 0;
};

const Loaded& Load(DType dtype) {
  static auto* const loaded = new std::map<DType, Loaded>;
  auto [it, is_new] = loaded->try_emplace(dtype);
  Loaded& entry = it->second;
  if (!is_new) return entry;
  entry.file = OpenRandomModel(k430M, dtype);
  entry.model = *LoadModel(entry.file);
  const Tensor* embedding = entry.file->Find("emb.weight");
  entry.bytes_per_step =
      entry.file->tensor_bytes() - int64_t(embedding->data.size());
  entry.weights_per_token =
      entry.model->config().num_parameters - embedding->num_elements();
  return entry;
}

void Report(benchmark::State& state, const Loaded& loaded, int threads,
            int64_t tokens) {
  const Limits& limits = MeasureLimits(threads);
  const double steps = static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["tokens"] = Counter(steps * tokens, Counter::kIsRate);
  state.counters["of_read"] =
      Counter(steps * loaded.bytes_per_step / limits.read_bytes_per_second,
              Counter::kIsRate);
  state.counters["of_flops"] = Counter(
      2.0 * steps * tokens * loaded.weights_per_token / limits.flops_per_second,
      Counter::kIsRate);
}

void Decode(benchmark::State& state, DType dtype, int threads) {
  const Loaded& loaded = Load(dtype);
  const int64_t num = state.range(0);
  const int64_t vocab = loaded.model->config().vocab_size;
  ThreadPool pool(threads);
  Workspace workspace = loaded.model->NewWorkspace(num, &pool);
  std::vector<State> states(num, loaded.model->NewState());
  std::vector<float> logits(num * vocab);
  std::vector<int32_t> tokens(num);
  std::vector<Chunk> chunks;
  for (int64_t i = 0; i < num; ++i) {
    tokens[i] = static_cast<int32_t>(i * 997 % vocab);
    chunks.push_back({.tokens = absl::MakeConstSpan(&tokens[i], 1),
                      .state = &states[i],
                      .wanted = LogitsWanted::kLast,
                      .logits = absl::MakeSpan(&logits[i * vocab], vocab)});
  }
  for (auto _ : state) loaded.model->Forward(chunks, workspace);
  Report(state, loaded, threads, num);
}

void Prefill(benchmark::State& state, DType dtype, int threads) {
  const Loaded& loaded = Load(dtype);
  const int64_t num = state.range(0);
  ThreadPool pool(threads);
  Workspace workspace = loaded.model->NewWorkspace(num, &pool);
  State sequence = loaded.model->NewState();
  std::vector<int32_t> tokens(num);
  for (int64_t i = 0; i < num; ++i) tokens[i] = static_cast<int32_t>(i);
  std::vector<float> logits(loaded.model->config().vocab_size);
  for (auto _ : state) {
    loaded.model->Forward({{.tokens = tokens,
                            .state = &sequence,
                            .wanted = LogitsWanted::kLast,
                            .logits = absl::MakeSpan(logits)}},
                          workspace);
  }
  Report(state, loaded, threads, num);
}

void RegisterAll(int threads) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const std::string type(NameOf(dtype));
    auto* decode = benchmark::RegisterBenchmark(
        absl::StrCat("decode/", type).c_str(), Decode, dtype, threads);
    for (int num : {1, 2, 4, 8, 16, 32, 64}) decode->Arg(num);
    auto* prefill = benchmark::RegisterBenchmark(
        absl::StrCat("prefill/", type).c_str(), Prefill, dtype, threads);
    for (int num : {16, 64, 256, 512}) prefill->Arg(num);
    for (auto* bench : {decode, prefill}) {
      bench->Unit(benchmark::kMillisecond)->UseRealTime();
    }
  }
}

// Takes --threads=N out of the arguments; otherwise all usable processors.
int TakeThreads(int* argc, char** argv) {
  int threads = UsableCpus();
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    absl::string_view arg = argv[i];
    if (absl::ConsumePrefix(&arg, "--threads=")) {
      RWKVD_CHECK(absl::SimpleAtoi(arg, &threads) && threads >= 1);
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  return threads;
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  const int threads = rwkvd::bench::TakeThreads(&argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf(
      "limits: %s; kernels: %s\n",
      rwkvd::bench::ToString(rwkvd::bench::MeasureLimits(threads)).c_str(),
      rwkvd::BestKernels().name);
  rwkvd::bench::RegisterAll(threads);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
