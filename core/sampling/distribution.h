// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_DISTRIBUTION_H_
#define RWKVD_CORE_SAMPLING_DISTRIBUTION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/sampling/logits.h"

namespace rwkvd {

// A token that can be sampled.
struct Candidate {
  int32_t id = 0;
  float logit = 0;
  double weight = 0;  // proportional to the token's probability
};

// Whether `a` ranks before `b`: a larger logit first, and of equal logits the
// lower id.
inline bool IsLikelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// The distribution that one token is sampled from. It starts as a whole row of
// logits, without those that are NaN or infinite; truncation samplers then
// remove candidates. Token i has the weight exp((logit_i - reference) * scale),
// where reference is the largest logit.
//
// A whole distribution is computed by passes over the row. The list of
// candidates is built only when a sampler first removes some.
//
// Owned by a thread that samples; thread-compatible. Its buffers, of up to
// vocab_size elements, are reused from row to row.
class Distribution {
 public:
  // Starts with all of `logits` [n], which must outlive the distribution's use.
  // scale > 0.
  void Reset(absl::Span<const float> logits, double scale);

  // Whether no logit is finite, so that nothing can be sampled.
  bool empty() const;
  // Whether no candidate has been removed and no list of them been built.
  bool is_whole() const { return is_whole_; }
  absl::Span<const float> logits() const { return logits_; }
  double scale() const { return scale_; }
  // An upper bound of all candidates' logits.
  float reference() const { return reference_; }

  // Returns the sum of all weights; it is 0 only if the distribution is empty.
  double Sum();

  // Returns the candidates in ascending order of ids. Builds the list if the
  // distribution is whole.
  absl::Span<const Candidate> candidates();

  // Returns a threshold that at least n logits reach. The distribution is
  // whole.
  float LogitOfRank(int64_t n);

  // Removes the candidates whose logit is below `lowest`. At least one must
  // remain.
  void KeepAtLeast(float lowest);

  // Removes the candidates for which `is_out` is true. At least one must
  // remain.
  template <typename IsOut>
  void RemoveIf(IsOut is_out) {
    candidates();
    std::erase_if(candidates_, is_out);
    sum_ = -1;
  }

  // Recomputes all weights with another scale.
  void SetScale(double scale);

  // Returns the token at the quantile `uniform`, in [0, 1), of the cumulative
  // weights in order of ids. The distribution is not empty.
  int32_t TokenAt(double uniform);

  // Returns the natural logarithm of the probability of `id`; -infinity for
  // probability zero.
  double LogProbability(int32_t id);

  // Sets `top` to the n likeliest tokens, likeliest first, or to all if there
  // are fewer than n.
  void Likeliest(int64_t n, std::vector<TokenLogprob>* top);

  // A buffer for samplers that sort candidates. Its contents are undefined
  // between calls.
  std::vector<Candidate>& scratch() { return scratch_; }

 private:
  void MaterializeCandidates(float lowest);
  void ComputeWeights();
  int32_t TokenAtInRow(double target);
  double LogProbabilityOf(float logit);

  absl::Span<const float> logits_;
  double scale_ = 1;
  float reference_ = 0;
  bool is_whole_ = true;
  double sum_ = -1;                    // negative: not computed yet
  std::vector<float> maxima_;          // of the row's blocks
  std::vector<double> block_sums_;     // valid if whole and sum_ is computed
  std::vector<Candidate> candidates_;  // valid unless whole
  std::vector<Candidate> scratch_;
  std::vector<int32_t> ids_;
  std::vector<float> packed_;    // logits, input of the kernels
  std::vector<double> weights_;  // output of the kernels
};

// Returns the largest float that is not above x; -infinity if x is below all
// finite floats.
float FloatBelow(double x);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_DISTRIBUTION_H_
