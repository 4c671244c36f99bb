// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/machine_limits.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace rwkvd::bench {

absl::string_view NameOf(Resource resource) {
  switch (resource) {
    case Resource::kRead:
      return "read";
    case Resource::kF32:
      return "f32";
    case Resource::kBF16:
      return "bf16";
    case Resource::kInt8:
      return "int8";
    case Resource::kAmxBF16:
      return "amx_bf16";
    case Resource::kAmxInt8:
      return "amx_int8";
  }
  return "unknown";
}

double Limits::Best(Resource resource) const {
  double best = 0;
  for (const Rate& rate : rates) {
    if (rate.resource == resource) best = std::max(best, rate.per_second);
  }
  return best;
}

const Limits& MeasureLimits(int threads) {
  static auto* const measured = new std::map<int, Limits>;
  auto [it, is_new] = measured->try_emplace(threads);
  if (is_new) {
    ThreadPool pool(threads);
    Limits& limits = it->second;
    limits.threads = threads;
    limits.rates = MeasureMemory(pool);
    for (Rate& rate : MeasureArithmetic(pool)) {
      limits.rates.push_back(std::move(rate));
    }
  }
  return it->second;
}

std::string ToString(const Limits& limits) {
  std::string text =
      absl::StrFormat("%d threads: read %.1f GB/s", limits.threads,
                      limits.Best(Resource::kRead) * 1e-9);
  for (Resource resource : {Resource::kF32, Resource::kBF16, Resource::kInt8,
                            Resource::kAmxBF16, Resource::kAmxInt8}) {
    const double best = limits.Best(resource);
    if (best == 0) continue;
    absl::StrAppendFormat(&text, ", %s %.0f Gop/s",
                          std::string(NameOf(resource)), best * 1e-9);
  }
  return text;
}

}  // namespace rwkvd::bench
