// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SAMPLER_H_
#define RWKVD_CORE_SAMPLING_SAMPLER_H_

#include <cstdint>
#include <random>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "core/sampling/sampling_params.h"

namespace rwkvd {

// How far a sampler has come, beside what it has drawn. A value.
struct SamplerProgress {
  int64_t num_draws = 0;      // random numbers used
  double surprise_limit = 0;  // of a sampler that adapts one
};

// Draws the tokens of one sequence. Remembers what it drew (for penalties) and
// its place in the random sequence.
//
// Owned by one sequence; thread-compatible. Same parameters and same logits
// give the same ids on every machine with the same arithmetic.
class Sampler {
 public:
  // `params` are valid. Ids from `num_ids` on are never drawn, whatever their
  // logits: the model's vocabulary may be larger than the tokenizer's.
  Sampler(const SamplingParams& params, int64_t num_ids);

  // The next token, given the model's raw `logits` [vocab_size]. Infinite or
  // NaN logits are treated as never to be drawn; if nothing else is left, 0.
  // Advances the random sequence by one, except at temperature 0, where it is
  // not used.
  int32_t Sample(absl::Span<const float> logits);

  SamplerProgress progress() const { return {.num_draws = num_draws_}; }
  // Makes a new sampler go on where another one of the same parameters had come
  // to when it had drawn `drawn`.
  void GoOn(absl::Span<const int32_t> drawn, const SamplerProgress& progress);

 private:
  bool HasPenalties() const;
  // The logits that are left when the penalties are taken.
  absl::Span<const float> Penalize(absl::Span<const float> logits) const;
  int32_t Draw(absl::Span<const float> logits);
  void Remember(int32_t id);

  const SamplingParams params_;
  const int64_t num_ids_;
  std::mt19937_64 random_;
  int64_t num_draws_ = 0;  // of random_
  // How often each token was drawn, decayed. Only kept for penalties.
  absl::flat_hash_map<int32_t, double> counts_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SAMPLER_H_
