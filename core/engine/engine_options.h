// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_OPTIONS_H_
#define RWKVD_CORE_ENGINE_ENGINE_OPTIONS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace rwkvd {

// The bounds within which an engine works. A value.
struct EngineOptions {
  int32_t max_running = 64;       // sequences that share a step; >= 1
  int32_t max_queued = 256;       // requests that wait to join them; >= 0
  int32_t max_step_tokens = 256;  // rows of one forward pass; > max_running
  // While sequences decode, prompts may make a step take this many times what
  // it would take without them; > 1. Some of their tokens are read even so.
  double max_decode_slowdown = 1.4;
  int32_t min_step_prompt_tokens = 16;  // >= 1
  // Of a prompt, or of a score's context and its longest continuation.
  int64_t max_prompt_tokens = 1 << 20;
  int64_t max_generated_tokens = 1 << 20;  // cap on GenerateRequest.max_tokens
  // Requests that have waited for longer than this are refused; > 0.
  absl::Duration max_queue_time = absl::InfiniteDuration();
  // Of all requests that run or wait, prompts and max_tokens together. At least
  // max_prompt_tokens + max_generated_tokens, so that each may come alone.
  int64_t max_total_tokens = 1 << 26;
  // Of a score's context and all its continuations together.
  int64_t max_score_tokens = 1 << 22;
  int32_t max_top_logprobs = 32;
  int64_t state_cache_bytes = 256 << 20;  // 0: no cache
  // Tokens of a prompt between two of its states that are stored; 0: only the
  // last one is. More where a prompt is long: see PlanSavePoints.
  int64_t state_cache_interval = 512;
  // Of prefixes that are pinned, beside the others; and how many names.
  int64_t max_pinned_bytes = 64 << 20;
  int32_t max_pinned = 64;
  // Tells the time of everything that is measured, and when a deadline is
  // over. Called by the engine's thread alone.
  std::function<absl::Time()> clock = absl::Now;
  // Called by the engine's thread, if there is one to call, each time nothing
  // has run and nothing has waited for so long: the moment for what would hold
  // up a step. A request that comes meanwhile waits for it.
  std::function<void()> on_idle;
  absl::Duration idle_after = absl::Seconds(1);  // >= 0
};

// InvalidArgument naming the member, its value and its range.
absl::Status Validate(const EngineOptions& options);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_OPTIONS_H_
