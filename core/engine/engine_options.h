// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_OPTIONS_H_
#define RWKVD_CORE_ENGINE_ENGINE_OPTIONS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/monotonic_clock.h"

namespace rwkvd {

// Each draft token of a step takes a state.
inline constexpr int32_t kMaxDraftTokens = 64;

// The limits of an engine. A value.
struct EngineOptions {
  int32_t max_running = 64;       // slots for running sequences; >= 1
  int32_t max_queued = 256;       // requests that wait for a slot; >= 0
  int32_t max_step_tokens = 256;  // rows of a forward pass; > max_running
  // While sequences decode, prefill may lengthen a step to this many times the
  // duration without prefill; > 1. However, at least min_step_prompt_tokens
  // are prefilled per step; >= 1.
  double max_decode_slowdown = 1.4;
  int32_t min_step_prompt_tokens = 16;
  // Draft tokens that a step verifies at most, of all sequences together; 0: no
  // speculation; in [0, kMaxDraftTokens].
  int32_t max_draft_tokens = 0;
  // Tokens of a prompt, or of a score request's context together with its
  // longest continuation.
  int64_t max_prompt_tokens = 1 << 20;
  int64_t max_generated_tokens = 1 << 20;  // limit of max_tokens
  // Requests that have waited for longer are refused; > 0.
  absl::Duration max_queue_time = absl::InfiniteDuration();
  // Tokens of all running and waiting requests, including their max_tokens. At
  // least max_prompt_tokens + max_generated_tokens, so that any request fits.
  int64_t max_total_tokens = 1 << 26;
  // Tokens of a score request's contexts and continuations together.
  int64_t max_score_tokens = 1 << 22;
  int32_t max_top_logprobs = 32;
  int64_t state_cache_bytes = 256 << 20;  // 0: no cache
  // Tokens between two states of a prompt that are stored while it is
  // prefilled; 0: only the last state is stored. Larger in long prompts: see
  // PlanSavePoints.
  int64_t state_cache_interval = 512;
  // Limits of pinned prefixes, which do not count in state_cache_bytes: their
  // bytes, and their names.
  int64_t max_pinned_bytes = 64 << 20;
  int32_t max_pinned = 64;
  // States of running requests in addition to one per slot: see BranchStates;
  // >= BranchStates::kReserved.
  int32_t max_branch_states = 64;
  // Snapshots of ended requests, in addition to one per free slot, that may
  // exist at the same time; >= 1. With more of them, waiting requests are not
  // admitted.
  int32_t max_snapshots = 16;
  // Bytes that all running and waiting requests may take: see MemoryOf; >= 1.
  // One request may take half.
  int64_t max_request_bytes = int64_t{1} << 30;
  // The clock for all measured times and for deadlines: those of requests are
  // times of this clock. Only the engine's thread calls it.
  std::function<absl::Time()> clock = MonotonicNow;
  // Unless null, the engine's thread calls this after `idle_after` without
  // requests, each time it becomes idle. Meant for work that would delay a
  // step; a request that arrives meanwhile waits for it.
  std::function<void()> on_idle;
  absl::Duration idle_after = absl::Seconds(1);  // >= 0
  // Unless null, the engine's thread calls this after each forward pass. If the
  // model cannot be trusted any more, it returns an error: nothing of the step
  // is sent or stored, and its requests end with that error. Must be fast.
  std::function<absl::Status()> check_model;
  // Unless null, the engine's thread calls this when a request ends because the
  // model's predictions are not finite, unless the request started from a saved
  // state, which may be to blame. Must be fast.
  std::function<void()> on_non_finite_logits;
  // Unless null, the engine's thread calls this after requests have ended. Must
  // be fast.
  std::function<void()> on_requests_ended;
};

// InvalidArgument with the member, its value and its range.
absl::Status Validate(const EngineOptions& options);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_OPTIONS_H_
