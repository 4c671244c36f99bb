// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_PREFILL_RATE_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_PREFILL_RATE_H_

#include <cstdint>

#include "absl/time/time.h"

namespace rwkvd {

// The rate at which recent steps have prefilled tokens, together with what else
// they did. About the last eight steps count, each by its duration.
//
// Used by the engine's thread only. Has no clock: durations are arguments, and
// results do not depend on them, only the order of prompts with deadlines.
class PrefillRate {
 public:
  // What TokensIn returns for a time without end, or if the rate is not known.
  static constexpr int64_t kMaxTokens = int64_t{1} << 62;

  // Records that a step took `seconds` and prefilled `num_tokens`, at least 1.
  void Observe(int64_t num_tokens, double seconds);

  // The tokens that are prefilled within `duration` at this rate. At least 0.
  int64_t TokensIn(absl::Duration duration) const;

 private:
  // Sums in which older steps count less.
  double tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_PREFILL_RATE_H_
