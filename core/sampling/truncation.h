// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TRUNCATION_H_
#define RWKVD_CORE_SAMPLING_TRUNCATION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace rwkvd {

// A token that may still be drawn.
struct Candidate {
  int32_t id = 0;
  float distance = 0;  // its logit minus the largest, <= 0
  float weight = 0;    // exp(distance): its probability, up to a factor
};

// Narrows a row of logits down to the tokens that may be drawn.
//
// Owned by a thread that draws; thread-compatible. Its buffers, of up to
// vocab_size candidates, are kept from one row to the next.
class Truncation {
 public:
  // The tokens left by top-p, then top-k, as SamplingParams defines them, in
  // order of id. Of tokens alike at the edge of top-k the lower ids stay. None
  // are left only if no logit is finite. The caller's until the next call.
  absl::Span<Candidate> Apply(absl::Span<const float> logits, float top_p,
                              int32_t top_k);

 private:
  // Replaces candidates_ by the tokens of at least `lowest_distance`; returns
  // the sum of their weights.
  double Gather(absl::Span<const float> logits, float largest,
                float lowest_distance);
  void KeepNucleus(absl::Span<const float> logits, float largest, float top_p);
  void KeepTop(int32_t k);
  // The distance at which the weights, taken in descending order, first sum to
  // `weight` or more.
  float DistanceAtWeight(double weight);

  std::vector<Candidate> candidates_;
  std::vector<Candidate> ranked_;  // candidates_, partly sorted
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TRUNCATION_H_
