// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/truncation.h"

#include "core/sampling/locally_typical.h"
#include "core/sampling/min_p.h"
#include "core/sampling/tail_free.h"
#include "core/sampling/top_k.h"
#include "core/sampling/top_p.h"

namespace rwkvd {
namespace {

void ApplyTopP(const SamplingParams& params, Distribution* distribution,
               int64_t top_k = 0) {
  if (params.top_p < 1) KeepTopP(params.top_p, distribution, top_k);
}

void ApplyTopK(const SamplingParams& params, Distribution* distribution) {
  if (params.top_k > 0) KeepTopK(params.top_k, distribution);
}

void ApplyTailFreeAndTypical(const SamplingParams& params,
                             Distribution* distribution) {
  if (params.tail_free_z < 1) KeepTailFree(params.tail_free_z, distribution);
  if (params.typical_p < 1) KeepLocallyTypical(params.typical_p, distribution);
}

}  // namespace

void Truncate(const SamplingParams& params, Distribution* distribution) {
  if (params.order == SamplerOrder::kTopPFirst) {
    ApplyTopP(params, distribution, params.top_k);
    if (params.top_p == 1) ApplyTopK(params, distribution);
    ApplyTailFreeAndTypical(params, distribution);
  } else {
    ApplyTopK(params, distribution);
    ApplyTailFreeAndTypical(params, distribution);
    ApplyTopP(params, distribution);
  }
  if (params.min_p > 0) KeepMinP(params.min_p, distribution);
}

}  // namespace rwkvd
