// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampler.h"

#include <cmath>
#include <vector>

#include "core/base/check.h"
#include "core/sampling/logits.h"
#include "core/sampling/truncation.h"

namespace rwkvd {
namespace {

// Buffers of the size of a vocabulary. One set a thread rather than one a
// sequence: they hold nothing between calls, a thousand sequences would hold
// gigabytes, and one set stays in the cache of its core.
struct Scratch {
  std::vector<float> penalized;
  Truncation truncation;
};

Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// Uniform in [0, 1): the 53 bits that a double can hold.
double Uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

}  // namespace

Sampler::Sampler(const SamplingParams& params, int64_t num_ids)
    : params_(params), num_ids_(num_ids), random_(params.seed) {
  RWKVD_CHECK(num_ids >= 1);
}

int32_t Sampler::Sample(absl::Span<const float> logits) {
  RWKVD_CHECK(static_cast<int64_t>(logits.size()) >= num_ids_);
  const absl::Span<const float> penalized = Penalize(logits.first(num_ids_));
  const int32_t id =
      params_.temperature == 0 ? GreedyId(penalized) : Draw(penalized);
  Remember(id);
  return id;
}

void Sampler::GoOn(absl::Span<const int32_t> drawn,
                   const SamplerProgress& progress) {
  for (const int32_t id : drawn) Remember(id);
  num_draws_ = progress.num_draws;
  random_.discard(static_cast<uint64_t>(num_draws_));
}

bool Sampler::HasPenalties() const {
  return params_.presence_penalty != 0 || params_.frequency_penalty != 0;
}

absl::Span<const float> Sampler::Penalize(
    absl::Span<const float> logits) const {
  if (counts_.empty()) return logits;
  std::vector<float>& penalized = ThreadScratch().penalized;
  penalized.assign(logits.begin(), logits.end());
  for (const auto& [id, count] : counts_) {
    penalized[id] -= static_cast<float>(params_.presence_penalty +
                                        count * params_.frequency_penalty);
  }
  return penalized;
}

int32_t Sampler::Draw(absl::Span<const float> logits) {
  const double uniform = Uniform(random_);
  ++num_draws_;
  const absl::Span<Candidate> candidates =
      ThreadScratch().truncation.Apply(logits, params_.top_p, params_.top_k);
  double sum = 0;
  for (Candidate& candidate : candidates) {
    if (params_.temperature != 1) {
      candidate.weight = std::exp(candidate.distance / params_.temperature);
    }
    sum += candidate.weight;
  }
  double below = 0;
  int32_t drawn = 0;  // if there is no candidate
  for (const Candidate& candidate : candidates) {
    if (candidate.weight == 0) continue;
    // The last one of any weight stands where rounding lets none be reached.
    drawn = candidate.id;
    below += candidate.weight;
    if (below > uniform * sum) break;
  }
  return drawn;
}

void Sampler::Remember(int32_t id) {
  if (!HasPenalties()) return;
  for (auto& [other, count] : counts_) count *= params_.penalty_decay;
  counts_[id] += 1;
}

}  // namespace rwkvd
