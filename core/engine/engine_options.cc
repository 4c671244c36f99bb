// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/engine/branch_states.h"

namespace rwkvd {
namespace {

absl::Status CheckAtLeast(absl::string_view name, int64_t value,
                          int64_t lowest) {
  if (value >= lowest) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", value, " is less than ", lowest));
}

}  // namespace

absl::Status Validate(const EngineOptions& options) {
  RWKVD_RETURN_IF_ERROR(CheckAtLeast("max_running", options.max_running, 1));
  RWKVD_RETURN_IF_ERROR(CheckAtLeast("max_queued", options.max_queued, 0));
  // So that each running sequence can process a token in every step.
  RWKVD_RETURN_IF_ERROR(CheckAtLeast("max_step_tokens", options.max_step_tokens,
                                     int64_t{options.max_running} + 1));
  if (!(options.max_decode_slowdown > 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_decode_slowdown: ", options.max_decode_slowdown,
                     " is not above 1"));
  }
  RWKVD_RETURN_IF_ERROR(CheckAtLeast("min_step_prompt_tokens",
                                     options.min_step_prompt_tokens, 1));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_draft_tokens", options.max_draft_tokens, 0));
  if (options.max_draft_tokens > kMaxDraftTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_draft_tokens: ", options.max_draft_tokens,
                     " is more than ", kMaxDraftTokens));
  }
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_prompt_tokens", options.max_prompt_tokens, 1));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_generated_tokens", options.max_generated_tokens, 1));
  if (!(options.max_queue_time > absl::ZeroDuration())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_queue_time: ", absl::FormatDuration(options.max_queue_time),
        " is not above 0"));
  }
  if (options.idle_after < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("idle_after: ", absl::FormatDuration(options.idle_after),
                     " is less than 0"));
  }
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_total_tokens", options.max_total_tokens,
                   options.max_prompt_tokens + options.max_generated_tokens));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_score_tokens", options.max_score_tokens, 1));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_top_logprobs", options.max_top_logprobs, 0));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("state_cache_bytes", options.state_cache_bytes, 0));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("state_cache_interval", options.state_cache_interval, 0));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_pinned_bytes", options.max_pinned_bytes, 0));
  RWKVD_RETURN_IF_ERROR(CheckAtLeast("max_pinned", options.max_pinned, 0));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_snapshots", options.max_snapshots, 1));
  RWKVD_RETURN_IF_ERROR(
      CheckAtLeast("max_request_bytes", options.max_request_bytes, 1));
  return CheckAtLeast("max_branch_states", options.max_branch_states,
                      BranchStates::kReserved);
}

}  // namespace rwkvd
