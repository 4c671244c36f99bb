// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SAMPLER_H_
#define RWKVD_CORE_SAMPLING_SAMPLER_H_

#include <cstdint>
#include <memory>
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

// Log-probabilities in the distribution that a token was sampled from, after
// penalties, truncation and temperature.
struct SampledLogprobs {
  // Of the sampled token; 0 if it was the only one possible.
  double logprob = 0;
  // Of the likeliest tokens, likeliest first. Fewer than requested if fewer
  // tokens were possible.
  std::vector<TokenLogprob> top;
};

// The state of a sampler, apart from the tokens that it has sampled. A value.
struct SamplerProgress {
  int64_t num_random_draws = 0;  // random numbers used so far
  double surprise_limit = 0;     // Mirostat's mu; 0 without Mirostat
};

// Samples the tokens of one sequence; docs/sampling.md describes how. Keeps the
// penalties' history and the state of the random generator.
//
// Owned by one sequence; thread-compatible. The same parameters, prompt and
// logits give the same ids on every instruction set, whatever other sequences
// do.
class Sampler {
 public:
  // `params` are valid for `vocabulary`. `prompt` is the whole text before the
  // output.
  Sampler(const SamplingParams& params, const SamplingVocabulary& vocabulary,
          absl::Span<const int32_t> prompt);
  // A sampler without a prompt, for a vocabulary without an end of text.
  Sampler(const SamplingParams& params, int64_t num_ids);

  // An upper bound on the memory, in bytes, that a sampler with these
  // parameters takes for a sequence of `num_tokens` tokens, prompt and output
  // together.
  static int64_t MaxBytes(const SamplingParams& params, int64_t num_ids,
                          int64_t num_tokens);

  // Returns the next token, given the model's raw `logits` [vocab_size]. Tokens
  // with infinite or NaN logits are never sampled. If no other token is left,
  // returns the lowest id that `params` permit. Uses one random number, except
  // for a forced token or at temperature 0.
  //
  // If `sampled` is not null, sets it to log-probabilities of the token and of
  // the `num_top` likeliest ones.
  int32_t Sample(absl::Span<const float> logits,
                 SampledLogprobs* sampled = nullptr, int64_t num_top = 0);

  // The tokens with which the output begins, whatever the logits are.
  absl::Span<const int32_t> forced_tokens() const {
    return params_.forced_tokens;
  }

  SamplerProgress progress() const;
  // Continues where another sampler with the same parameters stopped, after it
  // had sampled the tokens `generated`. To be called once, before Sample.
  void Resume(absl::Span<const int32_t> generated,
              const SamplerProgress& progress);

 private:
  // Whether late_ is still banned.
  bool BansLateTokens() const;
  // Returns the logits with the request's bias, penalties and bans.
  absl::Span<const float> EditLogits(absl::Span<const float> logits);
  void TruncateAndScale(Distribution* distribution);
  int32_t SampleFrom(absl::Span<const float> logits, SampledLogprobs* sampled,
                     int64_t num_top);

  const SamplingParams params_;
  const int64_t num_ids_;
  const std::vector<int32_t> banned_;  // with the end of text if it is banned
  const std::vector<int32_t> late_;    // banned until min_tokens
  const std::shared_ptr<const std::vector<int32_t>> unused_;  // null: none
  const int32_t fallback_;  // the lowest permitted id
  size_t num_sampled_ = 0;  // tokens, forced ones included
  std::mt19937_64 random_;
  int64_t num_random_draws_ = 0;  // numbers used of random_
  PenaltyHistory history_;
  std::optional<Mirostat> mirostat_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SAMPLER_H_
