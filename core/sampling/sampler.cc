// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/sampling/logits.h"
#include "core/sampling/truncation.h"

namespace rwkvd {
namespace {

// Buffers of the size of a vocabulary. One set a thread rather than one a
// sequence: they hold nothing between calls, a thousand sequences would hold
// gigabytes, and one set stays in the cache of its core.
struct Scratch {
  std::vector<float> edited;
  Distribution distribution;
};

Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// Uniform in [0, 1): the 53 bits that a double can hold.
double Uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

std::vector<int32_t> BannedBy(const SamplingParams& params,
                              const SamplingVocabulary& vocabulary) {
  std::vector<int32_t> banned = params.banned_tokens;
  const std::optional<int32_t> end = vocabulary.end_of_text;
  if (params.never_end && end.has_value() && *end < vocabulary.num_ids) {
    banned.push_back(*end);
  }
  std::sort(banned.begin(), banned.end());
  return banned;
}

// Of `allowed`, or of all, that are not `banned` (ascending).
int32_t LowestLeft(const std::vector<int32_t>& allowed,
                   const std::vector<int32_t>& banned, int64_t num_ids) {
  const auto is_banned = [&](int32_t id) {
    return std::binary_search(banned.begin(), banned.end(), id);
  };
  int32_t lowest = static_cast<int32_t>(num_ids - 1);
  for (const int32_t id : allowed) {
    if (!is_banned(id)) lowest = std::min(lowest, id);
  }
  if (!allowed.empty()) return lowest;
  for (lowest = 0; is_banned(lowest);) ++lowest;
  return lowest;
}

void TellTheOnly(int32_t id, int64_t num_top, DrawnLogprobs* drawn) {
  if (drawn == nullptr) return;
  drawn->logprob = 0;
  drawn->top.clear();
  if (num_top > 0) drawn->top.push_back({id, 0});
}

}  // namespace

Sampler::Sampler(const SamplingParams& params,
                 const SamplingVocabulary& vocabulary,
                 absl::Span<const int32_t> prompt)
    : params_(params),
      num_ids_(vocabulary.num_ids),
      banned_(BannedBy(params, vocabulary)),
      fallback_(LowestLeft(params.allowed_tokens, banned_, num_ids_)),
      random_(params.seed),
      history_(params, vocabulary, prompt) {
  RWKVD_CHECK(num_ids_ >= 1);
  if (params.mirostat.version != 0) mirostat_.emplace(params.mirostat);
}

Sampler::Sampler(const SamplingParams& params, int64_t num_ids)
    : Sampler(params, SamplingVocabulary{.num_ids = num_ids}, {}) {}

int32_t Sampler::Sample(absl::Span<const float> logits, DrawnLogprobs* drawn,
                        int64_t num_top) {
  RWKVD_CHECK(static_cast<int64_t>(logits.size()) >= num_ids_);
  int32_t id = 0;
  if (num_drawn_ < params_.forced_tokens.size()) {
    id = params_.forced_tokens[num_drawn_];
    TellTheOnly(id, num_top, drawn);
  } else {
    id = Draw(Edit(logits.first(num_ids_)), drawn, num_top);
  }
  ++num_drawn_;
  history_.AddDrawn(id);
  return id;
}

SamplerProgress Sampler::progress() const {
  return {.num_draws = num_draws_,
          .surprise_limit = mirostat_.has_value() ? mirostat_->mu() : 0};
}

void Sampler::Resume(absl::Span<const int32_t> drawn,
                   const SamplerProgress& progress) {
  history_.AddDrawn(drawn);
  num_drawn_ = drawn.size();
  num_draws_ = progress.num_draws;
  random_.discard(static_cast<uint64_t>(num_draws_));
  // What came before may not have been Mirostat's.
  if (mirostat_.has_value() && progress.surprise_limit != 0) {
    mirostat_->set_mu(progress.surprise_limit);
  }
}

absl::Span<const float> Sampler::Edit(absl::Span<const float> logits) {
  const std::vector<int32_t>& allowed = params_.allowed_tokens;
  if (allowed.empty() && banned_.empty() && params_.logit_bias.empty() &&
      history_.empty()) {
    return logits;
  }
  std::vector<float>& edited = ThreadScratch().edited;
  if (allowed.empty()) {
    edited.assign(logits.begin(), logits.end());
  } else {
    edited.resize(logits.size());
    CopyOnly(allowed, logits, absl::MakeSpan(edited));
  }
  AddBias(params_.logit_bias, absl::MakeSpan(edited));
  history_.Apply(absl::MakeSpan(edited));
  Ban(banned_, absl::MakeSpan(edited));
  return edited;
}

int32_t Sampler::Draw(absl::Span<const float> logits, DrawnLogprobs* drawn,
                      int64_t num_top) {
  if (params_.temperature == 0) {
    int32_t id = GreedyId(logits);
    if (!std::isfinite(logits[id])) id = fallback_;
    TellTheOnly(id, num_top, drawn);
    return id;
  }
  const double uniform = Uniform(random_);
  ++num_draws_;
  Distribution& distribution = ThreadScratch().distribution;
  distribution.Begin(logits, 1);
  if (distribution.empty()) {
    TellTheOnly(fallback_, num_top, drawn);
    return fallback_;
  }
  Narrow(&distribution);
  const int32_t id = distribution.Pick(uniform);
  if (mirostat_.has_value()) mirostat_->Learn(id, &distribution);
  if (drawn != nullptr) {
    drawn->logprob = distribution.LogProbability(id);
    distribution.Likeliest(num_top, &drawn->top);
  }
  return id;
}

void Sampler::Narrow(Distribution* distribution) {
  const double scale = 1 / double{params_.temperature};
  if (mirostat_.has_value()) {
    distribution->SetScale(scale);
    mirostat_->Narrow(distribution);
    return;
  }
  if (params_.order == SamplerOrder::kTemperatureFirst) {
    distribution->SetScale(scale);
  }
  Truncate(params_, distribution);
  distribution->SetScale(scale);
}

}  // namespace rwkvd
