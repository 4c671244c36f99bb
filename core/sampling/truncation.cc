// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/truncation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

// Distances down to which candidates are gathered in turn until their weights
// make up the nucleus. Of most rows the first (down to 1/3000 of the
// likeliest) is enough, and leaves a few hundred of 65536 tokens to rank.
constexpr float kGatherDistances[] = {-8, -16,
                                      -std::numeric_limits<float>::infinity()};

bool IsLikelier(const Candidate& a, const Candidate& b) {
  return a.distance != b.distance ? a.distance > b.distance : a.id < b.id;
}

double SumOfWeights(absl::Span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

}  // namespace

absl::Span<Candidate> Truncation::Apply(absl::Span<const float> logits,
                                        float top_p, int32_t top_k) {
  candidates_.clear();
  const float largest = logits[GreedyId(logits)];
  if (!std::isfinite(largest)) return {};
  if (top_p < 1) {
    KeepNucleus(logits, largest, top_p);
  } else {
    Gather(logits, largest, -std::numeric_limits<float>::infinity());
  }
  if (top_k > 0) KeepTop(top_k);
  return absl::MakeSpan(candidates_);
}

double Truncation::Gather(absl::Span<const float> logits, float largest,
                          float lowest_distance) {
  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    const float distance = logits[id] - largest;
    if (distance >= lowest_distance && std::isfinite(logits[id])) {
      candidates_.push_back(
          {static_cast<int32_t>(id), distance, std::exp(distance)});
    }
  }
  return SumOfWeights(candidates_);
}

void Truncation::KeepNucleus(absl::Span<const float> logits, float largest,
                             float top_p) {
  double all = 0;
  for (const float logit : logits) {
    if (std::isfinite(logit)) all += std::exp(logit - largest);
  }
  const double wanted = top_p * all;
  for (const float lowest_distance : kGatherDistances) {
    if (Gather(logits, largest, lowest_distance) >= wanted) break;
  }
  const float cutoff = DistanceAtWeight(wanted);
  std::erase_if(candidates_, [cutoff](const Candidate& candidate) {
    return candidate.distance < cutoff;
  });
}

float Truncation::DistanceAtWeight(double weight) {
  // Halves the range that holds the answer: no more work than a few passes
  // over the candidates, where sorting them would take many.
  ranked_ = candidates_;
  auto begin = ranked_.begin();
  auto end = ranked_.end();
  double above = 0;  // weights of those likelier than the range
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, IsLikelier);
    const double upper =
        SumOfWeights(absl::MakeConstSpan(&*begin, middle - begin));
    if (above + upper >= weight) {
      end = middle;
    } else {
      above += upper;
      begin = middle;
    }
  }
  return begin->distance;
}

void Truncation::KeepTop(int32_t k) {
  if (static_cast<size_t>(k) >= candidates_.size()) return;
  ranked_ = candidates_;
  const auto last = ranked_.begin() + (k - 1);
  std::nth_element(ranked_.begin(), last, ranked_.end(), IsLikelier);
  std::erase_if(candidates_, [last](const Candidate& candidate) {
    return IsLikelier(*last, candidate);
  });
}

}  // namespace rwkvd
