// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/workload.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

BenchOptions Options(uint64_t seed = 1) {
  BenchOptions options;
  options.prompt_tokens = {3, 6};
  options.output_tokens = {10, 12};
  options.workload_seed = seed;
  return options;
}

Workload TestWorkload(const BenchOptions& options = Options()) {
  v1::GetModelResponse model;
  model.set_vocab_size(300);
  model.set_tokenizer_size(256);
  return Workload(options, model);
}

TEST(WorkloadTest, RequestDependsOnlyOnSeedAndIndex) {
  const Workload workload = TestWorkload();
  const Workload again = TestWorkload();
  std::set<std::string> prompts;
  std::set<uint64_t> seeds;
  for (uint64_t i = 1000; i-- > 0;) {
    const v1::GenerateRequest request = workload.Request(i);
    EXPECT_EQ(request.SerializeAsString(),
              again.Request(i).SerializeAsString());
    prompts.insert(request.prompt().SerializeAsString());
    seeds.insert(request.sampling().seed());
  }
  EXPECT_GT(prompts.size(), 995u);  // short prompts may coincide
  EXPECT_EQ(seeds.size(), 1000u);
  EXPECT_NE(TestWorkload(Options(2)).Request(0).SerializeAsString(),
            workload.Request(0).SerializeAsString());
}

TEST(WorkloadTest, RequestsForbidTheEndOfText) {
  EXPECT_TRUE(TestWorkload().Request(0).sampling().never_end());
}

TEST(WorkloadTest, LengthsAndIdsCoverTheirRanges) {
  const Workload workload = TestWorkload();
  std::set<int> prompt_lengths, answer_lengths, ids;
  for (uint64_t i = 0; i < 2000; ++i) {
    const v1::GenerateRequest request = workload.Request(i);
    const auto& tokens = request.prompt().tokens().ids();
    prompt_lengths.insert(tokens.size());
    answer_lengths.insert(request.max_tokens());
    ids.insert(tokens.begin(), tokens.end());
  }
  EXPECT_EQ(prompt_lengths, (std::set<int>{3, 4, 5, 6}));
  EXPECT_EQ(answer_lengths, (std::set<int>{10, 11, 12}));
  // All tokens of the tokenizer except 0, the end of text.
  EXPECT_EQ(*ids.begin(), 1);
  EXPECT_EQ(*ids.rbegin(), 255);
  EXPECT_EQ(ids.size(), 255u);
}

TEST(WorkloadTest, RequestsUseTheGivenSampling) {
  BenchOptions options = Options();
  options.sampling.set_top_p(0.25f);
  v1::Sampling sampling = TestWorkload(options).Request(3).sampling();
  EXPECT_EQ(sampling.top_p(), 0.25f);
  EXPECT_FALSE(sampling.has_temperature());
  options.sampling.set_seed(7);
  EXPECT_EQ(TestWorkload(options).Request(3).sampling().seed(), 7u);
  EXPECT_EQ(TestWorkload(options).Request(4).sampling().seed(), 7u);
}

// The times between the arrivals of a Poisson process are independent and
// exponentially distributed: mean and standard deviation are 1 / rate, the
// median is ln 2 / rate. The bounds are five standard errors.
TEST(ArrivalsTest, TimesAreAPoissonProcess) {
  constexpr int kCount = 100'000;
  constexpr double kRate = 40;
  Arrivals arrivals(kRate, 1);
  double last = 0, sum = 0, squares = 0, lagged = 0, previous = 0;
  int below_median = 0;
  for (int i = 0; i < kCount; ++i) {
    const double time = arrivals.Next();
    ASSERT_GE(time, last);
    const double gap = (time - last) * kRate;
    last = time;
    sum += gap;
    squares += gap * gap;
    lagged += (gap - 1) * (previous - 1);
    below_median += gap < std::log(2.0) ? 1 : 0;
    previous = gap;
  }
  const double error = 5 / std::sqrt(kCount);
  EXPECT_NEAR(sum / kCount, 1, error);
  EXPECT_NEAR(squares / kCount, 2, error * std::sqrt(20.0));  // E[x^4] - 4 = 20
  EXPECT_NEAR(lagged / kCount, 0, error);
  EXPECT_NEAR(static_cast<double>(below_median) / kCount, 0.5, error / 2);
}

TEST(ArrivalsTest, TimesDependOnlyOnTheSeed) {
  const auto first = [](uint64_t seed) { return Arrivals(5, seed).Next(); };
  EXPECT_EQ(first(1), first(1));
  EXPECT_NE(first(1), first(2));
}

}  // namespace
}  // namespace rwkvd
