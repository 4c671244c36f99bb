// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/sampling/logits.h"
#include "core/sampling/truncation.h"

namespace rwkvd {
namespace {

// Buffers of the size of a vocabulary, with undefined contents between calls.
// There is one set per thread, not per sequence: a thousand sequences would
// hold gigabytes, and one set stays in the cache of its core.
struct Scratch {
  std::vector<float> edited;
  Distribution distribution;
};

Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// Returns a number uniform in [0, 1), with the 53 bits that a double can hold.
double Uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

std::vector<int32_t> BannedTokens(const SamplingParams& params,
                                  const SamplingVocabulary& vocabulary) {
  std::vector<int32_t> banned = params.banned_tokens;
  const std::optional<int32_t> end = vocabulary.end_of_text;
  if (params.never_end && end.has_value() && *end < vocabulary.num_ids) {
    banned.push_back(*end);
  }
  std::sort(banned.begin(), banned.end());
  return banned;
}

// Returns the late tokens that exist.
std::vector<int32_t> LateTokens(const SamplingParams& params, int64_t num_ids) {
  std::vector<int32_t> late = params.late_tokens;
  const auto is_absent = [num_ids](int32_t id) {
    return id < 0 || id >= num_ids;
  };
  late.erase(std::remove_if(late.begin(), late.end(), is_absent), late.end());
  return late;
}

// Returns the lowest id of `allowed`, or of all ids if `allowed` is empty, that
// is not in `banned` (ascending) and that the vocabulary uses.
int32_t LowestPermittedId(const std::vector<int32_t>& allowed,
                          const std::vector<int32_t>& banned,
                          const SamplingVocabulary& vocabulary) {
  const auto* const unused = vocabulary.unused_ids.get();
  const auto is_banned = [&](int32_t id) {
    return std::binary_search(banned.begin(), banned.end(), id) ||
           (unused != nullptr &&
            std::binary_search(unused->begin(), unused->end(), id));
  };
  int32_t lowest = static_cast<int32_t>(vocabulary.num_ids - 1);
  for (const int32_t id : allowed) {
    if (!is_banned(id)) lowest = std::min(lowest, id);
  }
  if (!allowed.empty()) return lowest;
  for (lowest = 0; is_banned(lowest);) ++lowest;
  return lowest;
}

// Reports `id` as the only possible token.
void SetCertain(int32_t id, int64_t num_top, SampledLogprobs* sampled) {
  if (sampled == nullptr) return;
  sampled->logprob = 0;
  sampled->top.clear();
  if (num_top > 0) sampled->top.push_back({id, 0});
}

}  // namespace

Sampler::Sampler(const SamplingParams& params,
                 const SamplingVocabulary& vocabulary,
                 absl::Span<const int32_t> prompt)
    : params_(params),
      num_ids_(vocabulary.num_ids),
      banned_(BannedTokens(params, vocabulary)),
      late_(LateTokens(params, vocabulary.num_ids)),
      unused_(vocabulary.unused_ids),
      fallback_(LowestPermittedId(params.allowed_tokens, banned_, vocabulary)),
      random_(params.seed),
      history_(params, vocabulary, prompt) {
  RWKVD_CHECK(num_ids_ >= 1);
  if (params.mirostat.version != 0) mirostat_.emplace(params.mirostat);
}

Sampler::Sampler(const SamplingParams& params, int64_t num_ids)
    : Sampler(params, SamplingVocabulary{.num_ids = num_ids}, {}) {}

int64_t Sampler::MaxBytes(const SamplingParams& params, int64_t num_ids,
                          int64_t num_tokens) {
  const size_t ids =
      2 * (params.banned_tokens.size() + params.late_tokens.size()) +
      params.allowed_tokens.size() + params.forced_tokens.size();
  return static_cast<int64_t>(sizeof(Sampler) + ids * sizeof(int32_t) +
                              params.logit_bias.size() * sizeof(LogitBias)) +
         PenaltyHistory::MaxBytes(params, num_ids, num_tokens);
}

int32_t Sampler::Sample(absl::Span<const float> logits,
                        SampledLogprobs* sampled, int64_t num_top) {
  RWKVD_CHECK(static_cast<int64_t>(logits.size()) >= num_ids_);
  int32_t id = 0;
  if (num_sampled_ < params_.forced_tokens.size()) {
    id = params_.forced_tokens[num_sampled_];
    SetCertain(id, num_top, sampled);
  } else {
    id = SampleFrom(EditLogits(logits.first(num_ids_)), sampled, num_top);
  }
  ++num_sampled_;
  history_.AddGenerated(id);
  return id;
}

SamplerProgress Sampler::progress() const {
  return {.num_random_draws = num_random_draws_,
          .surprise_limit = mirostat_.has_value() ? mirostat_->mu() : 0};
}

void Sampler::Resume(absl::Span<const int32_t> generated,
                     const SamplerProgress& progress) {
  history_.AddGenerated(generated);
  num_sampled_ = generated.size();
  num_random_draws_ = progress.num_random_draws;
  random_.discard(static_cast<uint64_t>(num_random_draws_));
  // The state may have been saved by a sampler without Mirostat.
  if (mirostat_.has_value() && progress.surprise_limit != 0) {
    mirostat_->set_mu(progress.surprise_limit);
  }
}

bool Sampler::BansLateTokens() const {
  return !late_.empty() &&
         static_cast<int64_t>(num_sampled_) < params_.min_tokens;
}

absl::Span<const float> Sampler::EditLogits(absl::Span<const float> logits) {
  const std::vector<int32_t>& allowed = params_.allowed_tokens;
  if (allowed.empty() && banned_.empty() && params_.logit_bias.empty() &&
      unused_ == nullptr && history_.empty() && !BansLateTokens()) {
    return logits;
  }
  std::vector<float>& edited = ThreadScratch().edited;
  if (allowed.empty()) {
    edited.assign(logits.begin(), logits.end());
  } else {
    edited.resize(logits.size());
    CopyAllowed(allowed, logits, absl::MakeSpan(edited));
  }
  AddBiases(params_.logit_bias, absl::MakeSpan(edited));
  history_.Apply(absl::MakeSpan(edited));
  BanTokens(banned_, absl::MakeSpan(edited));
  if (BansLateTokens()) BanTokens(late_, absl::MakeSpan(edited));
  if (unused_ != nullptr) BanTokens(*unused_, absl::MakeSpan(edited));
  return edited;
}

int32_t Sampler::SampleFrom(absl::Span<const float> logits,
                            SampledLogprobs* sampled, int64_t num_top) {
  if (params_.temperature == 0) {
    int32_t id = GreedyId(logits);
    if (!std::isfinite(logits[id])) id = fallback_;
    SetCertain(id, num_top, sampled);
    return id;
  }
  const double uniform = Uniform(random_);
  ++num_random_draws_;
  Distribution& distribution = ThreadScratch().distribution;
  distribution.Reset(logits, 1);
  if (distribution.empty()) {
    SetCertain(fallback_, num_top, sampled);
    return fallback_;
  }
  TruncateAndScale(&distribution);
  const int32_t id = distribution.TokenAt(uniform);
  if (mirostat_.has_value()) mirostat_->Update(id, &distribution);
  if (sampled != nullptr) {
    sampled->logprob = distribution.LogProbability(id);
    distribution.Likeliest(num_top, &sampled->top);
  }
  return id;
}

void Sampler::TruncateAndScale(Distribution* distribution) {
  const double scale = 1 / double{params_.temperature};
  if (mirostat_.has_value()) {
    distribution->SetScale(scale);
    mirostat_->Truncate(distribution);
    return;
  }
  if (params_.order == SamplerOrder::kTemperatureFirst) {
    distribution->SetScale(scale);
  }
  Truncate(params_, distribution);
  distribution->SetScale(scale);
}

}  // namespace rwkvd
