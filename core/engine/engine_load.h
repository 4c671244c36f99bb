// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_LOAD_H_
#define RWKVD_CORE_ENGINE_ENGINE_LOAD_H_

#include <cstdint>

#include "absl/time/time.h"

namespace rwkvd {

// How busy an engine is: what a router must know to choose among servers. A
// value.
struct EngineLoad {
  int64_t running = 0;  // requests in slots
  int64_t slots = 0;    // all of them
  int64_t queued = 0;
  int64_t max_queued = 0;
  // How long the oldest request in the queue has waited; 0 if there is none.
  absl::Duration oldest_wait;
  // Tokens that queued requests must have computed before their first token.
  // Samples of one request share them. Cached tokens are not known yet, and so
  // they count.
  int64_t queued_prompt_tokens = 0;
  // Tokens of all running and queued requests that count toward
  // max_total_tokens, and that limit.
  int64_t total_tokens = 0;
  int64_t max_total_tokens = 0;
  // Rates over the last ten seconds. Prompt tokens include scored tokens.
  double generated_tokens_per_second = 0;
  double prompt_tokens_per_second = 0;
  double requests_per_second = 0;  // that ended
  int64_t state_cache_bytes = 0;   // see EngineStats

  // Running and queued requests as a share of the slots: above 1, requests
  // wait.
  double utilization() const {
    return static_cast<double>(running + queued) / static_cast<double>(slots);
  }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_LOAD_H_
