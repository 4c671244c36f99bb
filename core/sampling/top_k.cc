// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/top_k.h"

#include <algorithm>
#include <vector>

#include "core/base/check.h"

namespace rwkvd {

void KeepTopK(int64_t k, Distribution* distribution) {
  RWKVD_CHECK(k >= 1);
  if (distribution->is_whole()) {
    if (k >= static_cast<int64_t>(distribution->logits().size())) return;
    distribution->KeepAtLeast(distribution->LogitOfRank(k));
  }
  const absl::Span<const Candidate> candidates = distribution->candidates();
  if (k >= static_cast<int64_t>(candidates.size())) return;
  std::vector<Candidate>& ranked = distribution->scratch();
  ranked.assign(candidates.begin(), candidates.end());
  const auto last = ranked.begin() + (k - 1);
  std::nth_element(ranked.begin(), last, ranked.end(), IsLikelier);
  distribution->Drop([edge = *last](const Candidate& candidate) {
    return IsLikelier(edge, candidate);
  });
}

}  // namespace rwkvd
