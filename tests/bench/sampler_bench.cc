// SPDX-License-Identifier: Apache-2.0
// Measures sampling of one sequence from rows of 65,536 logits, on one thread.
//   peaked: rows like those of a trained model: the likely tokens follow Zipf's
//     law, above a tail of unlikely ones.
//   flat: all tokens are about equally likely, so that the sampler must rank
//     every token. This is the worst case.
// The samples rotate through 8 rows, 2 MiB in all.
//
// Run with: bazel run //tests/bench:sampler_bench

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "core/sampling/logits.h"
#include "core/sampling/params.h"
#include "core/sampling/sampler.h"

namespace rwkvd::bench {
namespace {

constexpr int64_t kVocabSize = 65536;
constexpr int64_t kNumRows = 8;

using Rows = std::vector<std::vector<float>>;

std::vector<float> PeakedRow(std::mt19937_64& random) {
  std::normal_distribution<float> tail(-2, 2);
  std::vector<float> row(kVocabSize);
  for (float& logit : row) logit = tail(random);
  for (int rank = 0; rank < 3000; ++rank) {
    row[random() % kVocabSize] = 12 - 1.2f * std::log(rank + 1.0f);
  }
  return row;
}

std::vector<float> FlatRow(std::mt19937_64& random) {
  std::normal_distribution<float> normal(0, 0.5f);
  std::vector<float> row(kVocabSize);
  for (float& logit : row) logit = normal(random);
  return row;
}

Rows MakeRows(bool flat) {
  std::mt19937_64 random(1);
  Rows rows;
  for (int64_t i = 0; i < kNumRows; ++i) {
    rows.push_back(flat ? FlatRow(random) : PeakedRow(random));
  }
  return rows;
}

void SampleToken(benchmark::State& state, const Rows* rows,
                 const SamplingParams& params) {
  Sampler sampler(params, kVocabSize);
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sampler.Sample((*rows)[i++ % kNumRows]));
  }
}

// The extra cost of reporting the sampled token's log-probability.
void Logprob(benchmark::State& state, const Rows* rows) {
  size_t i = 0;
  for (auto _ : state) {
    const std::vector<float>& row = (*rows)[i++ % kNumRows];
    benchmark::DoNotOptimize(LogProbability(row, ComputeLogSoftmax(row), 7));
  }
}

void TopLogprobs(benchmark::State& state, const Rows* rows) {
  std::vector<int32_t> ids;
  size_t i = 0;
  for (auto _ : state) {
    LikeliestIds((*rows)[i++ % kNumRows], 20, &ids);
    benchmark::DoNotOptimize(ids.data());
  }
}

// Every sampler except Mirostat, which cannot be combined with them.
SamplingParams FullChain() {
  SamplingParams params = SmolrsrwkvPreset();
  params.presence_penalty = 0.2f;
  params.frequency_penalty = 0.2f;
  params.penalty_decay = 0.996f;
  params.sequence_repetition = {.flat_penalty = 1, .stacking_penalty = 0.1f};
  params.tail_free_z = 0.95f;
  params.typical_p = 0.95f;
  params.min_p = 0.01f;
  params.logit_bias = {{100, 1}, {200, -1}};
  params.banned_tokens = {0};
  return params;
}

SamplingParams WithMirostat(int32_t version) {
  SamplingParams params;
  params.mirostat.version = version;
  return params;
}

void RegisterAll(const Rows* rows, const std::string& kind) {
  const auto add = [&](const char* name, const SamplingParams& params) {
    benchmark::RegisterBenchmark(absl::StrCat(name, "/", kind).c_str(),
                                 SampleToken, rows, params)
        ->Unit(benchmark::kMicrosecond);
  };
  add("greedy", {.temperature = 0});
  add("plain", {});
  add("temperature", {.temperature = 0.8f});
  add("top_p", {.top_p = 0.85f});
  add("top_k", {.top_k = 40});
  add("top_k_top_p", {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f});
  add("rwkv", {.top_p = 0.85f,
               .presence_penalty = 0.2f,
               .frequency_penalty = 0.2f,
               .penalty_decay = 0.996f});
  add("smolrsrwkv", SmolrsrwkvPreset());
  add("full_chain", FullChain());
  add("mirostat_1", WithMirostat(1));
  add("mirostat_2", WithMirostat(2));
  benchmark::RegisterBenchmark(absl::StrCat("logprob/", kind).c_str(), Logprob,
                               rows)
      ->Unit(benchmark::kMicrosecond);
  benchmark::RegisterBenchmark(absl::StrCat("top_20_logprobs/", kind).c_str(),
                               TopLogprobs, rows)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace rwkvd::bench

int main(int argc, char** argv) {
  using rwkvd::bench::MakeRows;
  static const auto peaked = MakeRows(false), flat = MakeRows(true);
  rwkvd::bench::RegisterAll(&peaked, "peaked");
  rwkvd::bench::RegisterAll(&flat, "flat");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
