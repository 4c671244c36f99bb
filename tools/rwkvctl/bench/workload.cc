// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/workload.h"

#include <algorithm>
#include <cmath>

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// Hashes `x`, so that adjacent arguments give unrelated numbers (the finalizer
// of splitmix64).
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Returns a uniform random number in [low, high]. Unlike the distributions of
// the standard library, it is the same on every platform.
int64_t UniformInt(std::mt19937_64& random, int64_t low, int64_t high) {
  const auto choices = static_cast<uint64_t>(high - low) + 1;
  __extension__ using Wide = unsigned __int128;
  return low + static_cast<int64_t>((Wide{random()} * choices) >> 64);
}

}  // namespace

Workload::Workload(const BenchOptions& options,
                   const v1::GetModelResponse& model)
    : options_(options),
      // Token 0 is the end of text.
      first_id_(1),
      num_ids_(std::max<int64_t>(
          1, std::min(model.vocab_size(), model.tokenizer_size()) - 1)) {}

v1::GenerateRequest Workload::Request(uint64_t index) const {
  std::mt19937_64 random(Mix(options_.workload_seed ^ Mix(index)));
  v1::GenerateRequest request;
  const int64_t prompt_tokens = UniformInt(random, options_.prompt_tokens.low,
                                           options_.prompt_tokens.high);
  request.set_max_tokens(static_cast<int32_t>(UniformInt(
      random, options_.output_tokens.low, options_.output_tokens.high)));
  *request.mutable_sampling() = options_.sampling;
  // Every answer has max_tokens tokens.
  request.mutable_sampling()->set_never_end(true);
  if (!options_.sampling.has_seed()) {
    request.mutable_sampling()->set_seed(random());
  }
  auto* ids = request.mutable_prompt()->mutable_tokens()->mutable_ids();
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    ids->Add(static_cast<int32_t>(
        UniformInt(random, first_id_, first_id_ + num_ids_ - 1)));
  }
  return request;
}

Arrivals::Arrivals(double rate, uint64_t seed)
    : rate_(rate), random_(Mix(~seed)) {}

double Arrivals::Next() {
  // In (0, 1], so that its logarithm is finite.
  const double uniform = (static_cast<double>(random_() >> 11) + 1) * 0x1p-53;
  time_ -= std::log(uniform) / rate_;
  return time_;
}

}  // namespace rwkvd
