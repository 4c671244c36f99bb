// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/top_p.h"

#include <limits>
#include <vector>

#include "core/sampling/cumulative_key.h"
#include "core/sampling/top_k.h"

namespace rwkvd {
namespace {

// Powers of e down to which candidates are written down in turn until they make
// up the nucleus. Of most rows the first (down to 1/3000 of the likeliest) is
// enough, and leaves a few hundred of 65536 tokens to rank.
constexpr double kDepths[] = {8, 16, std::numeric_limits<double>::infinity()};

// Of a whole distribution; what it writes down it has to begin anew.
void KeepEnough(double wanted, Distribution* distribution) {
  const absl::Span<const float> logits = distribution->logits();
  const double scale = distribution->scale();
  for (const double depth : kDepths) {
    distribution->KeepAtLeast(
        FloatBelow(distribution->reference() - depth / scale));
    if (distribution->Sum() >= wanted || depth == kDepths[2]) return;
    distribution->Begin(logits, scale);
  }
}

}  // namespace

void KeepTopP(double p, Distribution* distribution, int64_t top_k) {
  const double wanted = p * distribution->Sum();
  // Of the ranking, the first that reach p and the first k: whichever is less,
  // so the k need not be sought in what may be a large nucleus.
  if (top_k > 0) {
    KeepTopK(top_k, distribution);
  } else if (distribution->is_whole()) {
    KeepEnough(wanted, distribution);
  }
  thread_local std::vector<KeyedWeight> items;
  items.clear();
  for (const Candidate& candidate : distribution->candidates()) {
    items.push_back({-double{candidate.logit}, candidate.weight});
  }
  const double edge = -KeyAtWeight(wanted, &items);
  distribution->KeepAtLeast(static_cast<float>(edge));
}

}  // namespace rwkvd
