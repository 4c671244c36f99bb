// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SAMPLER_H_
#define RWKVD_CORE_SAMPLING_SAMPLER_H_

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/distribution.h"
#include "core/sampling/logits.h"
#include "core/sampling/mirostat.h"
#include "core/sampling/params.h"
#include "core/sampling/penalties.h"

namespace rwkvd {

// What the distribution was that a token was drawn from, after all samplers.
struct DrawnLogprobs {
  // Of the token drawn; 0 if it was the only one.
  double logprob = 0;
  // The likeliest, likeliest first; fewer than asked for if fewer may be drawn.
  std::vector<TokenLogprob> top;
};

// How far a sampler has come, beside what it has drawn. A value.
struct SamplerProgress {
  int64_t num_draws = 0;      // random numbers used
  double surprise_limit = 0;  // Mirostat's mu; 0 without it
};

// Draws the tokens of one sequence: docs/sampling.md says how. Remembers what
// it drew and its place in the random sequence.
//
// Owned by one sequence; thread-compatible. Same parameters, same prompt and
// same logits give the same ids on every instruction set, whatever happens
// beside it.
class Sampler {
 public:
  // `params` are valid with `vocabulary`. `prompt` is what was read before.
  Sampler(const SamplingParams& params, const SamplingVocabulary& vocabulary,
          absl::Span<const int32_t> prompt);
  // Without a prompt or an end of text.
  Sampler(const SamplingParams& params, int64_t num_ids);

  // The next token, given the model's raw `logits` [vocab_size]. Infinite or
  // NaN logits are treated as never to be drawn; if nothing else is left, the
  // lowest id that may be drawn. Advances the random sequence by one, except
  // for a forced token or at temperature 0, where it is not used.
  //
  // If `drawn` is given, tells the distribution, with `num_top` of the
  // likeliest.
  int32_t Sample(absl::Span<const float> logits, DrawnLogprobs* drawn = nullptr,
                 int64_t num_top = 0);

  SamplerProgress progress() const;
  // Makes a new sampler go on where another one of the same parameters had come
  // to when it had drawn `drawn`.
  void Resume(absl::Span<const int32_t> drawn, const SamplerProgress& progress);

 private:
  // The logits with what the request adds to and takes from them.
  absl::Span<const float> Edit(absl::Span<const float> logits);
  // Leaves in `distribution` what is drawn from.
  void Narrow(Distribution* distribution);
  int32_t Draw(absl::Span<const float> logits, DrawnLogprobs* drawn,
               int64_t num_top);

  const SamplingParams params_;
  const int64_t num_ids_;
  const std::vector<int32_t> banned_;  // with the end of text, if it is
  const int32_t fallback_;             // the lowest id that may be drawn
  size_t num_drawn_ = 0;               // tokens
  std::mt19937_64 random_;
  int64_t num_draws_ = 0;  // of random_
  PenaltyHistory history_;
  std::optional<Mirostat> mirostat_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SAMPLER_H_
