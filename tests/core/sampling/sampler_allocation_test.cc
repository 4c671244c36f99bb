// SPDX-License-Identifier: Apache-2.0
// Sampling allocates no memory once its buffers have grown to their size.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <random>
#include <vector>

#include "core/sampling/params.h"
#include "core/sampling/sampler.h"
#include "gtest/gtest.h"

namespace {

std::atomic<int64_t> num_allocations{0};

}  // namespace

void* operator new(std::size_t size) {
  ++num_allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace rwkvd {
namespace {

SamplingParams Everything() {
  SamplingParams params = SmolrsrwkvPreset();
  params.presence_penalty = 0.1f;
  params.frequency_penalty = 0.1f;
  params.penalty_decay = 0.99f;
  params.sequence_repetition.flat_penalty = 0.1f;
  params.tail_free_z = 0.99f;
  params.typical_p = 0.99f;
  params.min_p = 0.001f;
  params.logit_bias = {{1, 1.0f}};
  params.banned_tokens = {2};
  return params;
}

SamplingParams Mirostat(int version) {
  SamplingParams params;
  params.mirostat.version = version;
  return params;
}

TEST(SamplerAllocationTest, SamplingAllocatesNothingAfterWarmUp) {
  std::mt19937 random(15);
  std::normal_distribution<float> normal(0, 1);
  std::vector<std::vector<float>> rows(8, std::vector<float>(4096));
  for (auto& row : rows) {
    for (float& logit : row) logit = normal(random);
  }
  for (const SamplingParams& params :
       {SamplingParams(), SamplingParams{.temperature = 0},
        SamplingParams{.top_p = 0.9f}, SamplingParams{.top_k = 40},
        Everything(), Mirostat(1), Mirostat(2)}) {
    Sampler sampler(params, 4096);
    SampledLogprobs sampled;
    int64_t before = 0;
    for (int i = 0; i < 600; ++i) {
      if (i == 300) before = num_allocations;
      sampler.Sample(rows[i % rows.size()], &sampled, 5);
    }
    EXPECT_EQ(num_allocations - before, 0);
  }
}

}  // namespace
}  // namespace rwkvd
