// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_DISTRIBUTION_H_
#define RWKVD_CORE_SAMPLING_DISTRIBUTION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/logits.h"

namespace rwkvd {

// A token that may be drawn.
struct Candidate {
  int32_t id = 0;
  float logit = 0;
  double weight = 0;  // its probability, up to a factor common to all
};

// Whether it comes first in the ranking: the likelier, or of two alike the one
// of the lower id.
inline bool IsLikelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// What a token is drawn from: at first every finite logit of a row, later the
// candidates that samplers have left. Token i has the weight
// exp((logit_i - reference) * scale); the reference is the largest logit.
//
// While it is whole, it is looked at in passes over the row; candidates are
// written down only once something narrows it.
//
// Owned by a thread that draws; thread-compatible. Its buffers, of up to
// vocab_size elements, are kept from one row to the next.
class Distribution {
 public:
  // Begins with all of `logits` [n], which outlive its use. scale > 0.
  void Begin(absl::Span<const float> logits, double scale);

  // Whether nothing may be drawn: no logit is finite.
  bool empty() const;
  bool is_whole() const { return is_whole_; }
  absl::Span<const float> logits() const { return logits_; }
  double scale() const { return scale_; }
  // Every candidate's logit is at most this.
  float reference() const { return reference_; }

  // The sum of all weights: 0 only if it is empty.
  double Sum();

  // The candidates by ascending id. Writes them down if it is whole.
  absl::Span<const Candidate> candidates();

  // A logit that at least n candidates reach. Only while it is whole.
  float LogitOfRank(int64_t n);

  // Drops the candidates below `lowest`; one must be left.
  void KeepAtLeast(float lowest);

  // Drops those of which `is_out` is true; one must be left.
  template <typename IsOut>
  void Drop(IsOut is_out) {
    candidates();
    std::erase_if(candidates_, is_out);
    sum_ = -1;
  }

  // Gives them the weights of another scale.
  void SetScale(double scale);

  // The token at `uniform`, in [0, 1), of the cumulative weights by id. Not
  // empty.
  int32_t Pick(double uniform);

  // Natural logarithm of the probability of `id`; -infinity for zero.
  double LogProbability(int32_t id);

  // Sets `top` to the n likeliest, likeliest first; fewer if there are fewer.
  void Likeliest(int64_t n, std::vector<TokenLogprob>* top);

  // For what a sampler has to put in order; holds nothing between calls.
  std::vector<Candidate>& scratch() { return scratch_; }

 private:
  void Write(float lowest);
  void Weigh();
  int32_t PickFromRow(double target);
  double LogOf(float logit);

  absl::Span<const float> logits_;
  double scale_ = 1;
  float reference_ = 0;
  bool is_whole_ = true;
  double sum_ = -1;                    // negative if not known
  std::vector<float> maxima_;          // of the row's blocks
  std::vector<double> block_sums_;     // if whole and sum_ is known
  std::vector<Candidate> candidates_;  // unless whole
  std::vector<Candidate> scratch_;
  std::vector<int32_t> ids_;
  std::vector<float> packed_;    // logits, for the kernels
  std::vector<double> weights_;  // what they give
};

// The largest float that is not above x; -infinity below all of them.
float FloatBelow(double x);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_DISTRIBUTION_H_
