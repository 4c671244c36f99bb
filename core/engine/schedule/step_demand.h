// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SCHEDULE_STEP_DEMAND_H_
#define RWKVD_CORE_ENGINE_SCHEDULE_STEP_DEMAND_H_

#include <algorithm>
#include <cstdint>
#include <limits>

namespace rwkvd {

// What a sequence could use of the next step. A value.
struct StepDemand {
  // Tokens that it could process; 0 if it needs no forward pass.
  int64_t tokens = 0;
  // Whether it decodes: it processes the one token that it sampled last.
  bool decoding = false;
  // The number of these tokens that need a row of logits: at most one, the
  // last, or all tokens whose prediction is scored. The others are processed
  // first.
  int64_t logits_rows = 1;
  // The flow of the sequence, which is compared only, and its weight.
  const void* flow = nullptr;
  int32_t weight = 1;
  // The prompt, or the score request, that it prefills or has prefilled: a
  // number that grows with the time of submission and is never used again.
  // Samples of one request have the same, and only one of them prefills.
  uint64_t prompt = 0;
  // All tokens that are left to prefill, of which `tokens` are the next ones.
  // Less than `tokens` counts as `tokens`.
  int64_t remaining = 0;
  // How many prompt tokens the steps until the deadline of the prompt are
  // expected to process, of all prompts together.
  int64_t until_deadline = std::numeric_limits<int64_t>::max();

  bool prefills() const { return !decoding && tokens > 0; }
  int64_t tokens_left() const { return std::max(tokens, remaining); }
  // The tokens that it can process with one row of logits.
  int64_t tokens_with_one_row() const {
    return tokens - std::max<int64_t>(logits_rows, 1) + 1;
  }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SCHEDULE_STEP_DEMAND_H_
