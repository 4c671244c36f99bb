// SPDX-License-Identifier: Apache-2.0
#include "service/options/compute_options.h"

#include <tuple>

#include "absl/flags/flag.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/kernels/targets/supported_kernels.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(int32_t, threads, 0,
          "The number of compute threads. 0 chooses it from the available "
          "CPUs and the CPU quota of the control group.");
ABSL_FLAG(std::string, isa, "auto",
          "The instruction set of the kernels. auto chooses the best one that "
          "this processor supports.");
ABSL_FLAG(int32_t, max_running, rwkvd::EngineOptions().max_running,
          "The maximum number of requests that run at the same time. In "
          "[1, 4096]."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int32_t, max_queued, rwkvd::EngineOptions().max_queued,
          "The maximum number of requests in the queue. Further requests are "
          "refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int32_t, max_step_tokens, rwkvd::EngineOptions().max_step_tokens,
          "The maximum number of tokens in one forward pass, of prompts and "
          "outputs together. More than --max_running."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(double, max_decode_slowdown,
          rwkvd::EngineOptions().max_decode_slowdown,
          "How many times longer a step may take because it also prefills "
          "prompts, compared with a step that only decodes. Lower values give "
          "a more even stream of tokens, higher values a shorter time to the "
          "first token. In (1, 1000].");
ABSL_FLAG(
    int32_t, max_draft_tokens, rwkvd::EngineOptions().max_draft_tokens,
    "The maximum number of tokens that a step guesses and verifies, of "
    "all requests together; 8 is a good value. Right guesses make outputs "
    "faster, wrong ones a little slower, and none changes them. Each "
    "token takes the memory of a state. 0: none. In [0, 64]."
    " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, max_prompt_tokens, rwkvd::EngineOptions().max_prompt_tokens,
          "The maximum number of tokens in a prompt, or in a context together "
          "with its longest continuation."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, max_generated_tokens,
          rwkvd::EngineOptions().max_generated_tokens,
          "The maximum for a request's max_tokens."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(absl::Duration, max_queue_time, rwkvd::EngineOptions().max_queue_time,
          "The maximum time in the queue. Requests that have waited longer are "
          "refused with RESOURCE_EXHAUSTED. inf sets no maximum.");
ABSL_FLAG(int64_t, max_total_tokens, rwkvd::EngineOptions().max_total_tokens,
          "The maximum number of tokens of all running and queued requests, "
          "counting their prompts and max_tokens. Further requests are refused "
          "with RESOURCE_EXHAUSTED. At least --max_prompt_tokens plus "
          "--max_generated_tokens."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, state_cache_mib,
          rwkvd::EngineOptions().state_cache_bytes >> 20,
          "The memory for the states of earlier prompts, in MiB. 0 turns the "
          "state cache off."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, state_cache_interval,
          rwkvd::EngineOptions().state_cache_interval,
          "The number of prompt tokens between two states that are stored "
          "during the prefill, so that prompts with the same beginning share "
          "them. It is doubled until a prompt stores at most 8. 0 stores only "
          "the state after the prompt.");
ABSL_FLAG(int64_t, pinned_states_mib,
          rwkvd::EngineOptions().max_pinned_bytes >> 20,
          "The memory for the states of pinned prompts, in MiB, in addition to "
          "--state_cache_mib."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int32_t, max_pinned_states, rwkvd::EngineOptions().max_pinned,
          "The maximum number of pinned prompts.");

namespace rwkvd {
namespace {

absl::Status CheckIsa(const std::string& isa) {
  if (isa == "auto" || FindKernels(isa) != nullptr) return absl::OkStatus();
  const std::string names = absl::StrJoin(
      SupportedKernels(), ", ", [](std::string* out, const KernelTable* table) {
        out->append(table->name);
      });
  return FlagError("isa", Quoted(isa),
                   " is not supported by this processor; it supports auto, ",
                   names);
}

void ReadLimits(EngineOptions* engine) {
  engine->max_running = absl::GetFlag(FLAGS_max_running);
  engine->max_queued = absl::GetFlag(FLAGS_max_queued);
  engine->max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  engine->max_decode_slowdown = absl::GetFlag(FLAGS_max_decode_slowdown);
  engine->max_draft_tokens = absl::GetFlag(FLAGS_max_draft_tokens);
  engine->max_prompt_tokens = absl::GetFlag(FLAGS_max_prompt_tokens);
  engine->max_generated_tokens = absl::GetFlag(FLAGS_max_generated_tokens);
  engine->max_queue_time = absl::GetFlag(FLAGS_max_queue_time);
  engine->max_total_tokens = absl::GetFlag(FLAGS_max_total_tokens);
}

absl::Status ReadStateCache(EngineOptions* engine) {
  RWKVD_ASSIGN_OR_RETURN(
      engine->state_cache_bytes,
      MebibytesToBytes("state_cache_mib", absl::GetFlag(FLAGS_state_cache_mib),
                       1 << 20));
  RWKVD_ASSIGN_OR_RETURN(
      engine->max_pinned_bytes,
      MebibytesToBytes("pinned_states_mib",
                       absl::GetFlag(FLAGS_pinned_states_mib), 1 << 20));
  engine->state_cache_interval = absl::GetFlag(FLAGS_state_cache_interval);
  engine->max_pinned = absl::GetFlag(FLAGS_max_pinned_states);
  return CheckRange("max_pinned_states", engine->max_pinned, 0, 1 << 16);
}

// Upper limits, which only the flags have; the engine's own checks follow.
absl::Status CheckEngine(const EngineOptions& engine) {
  const std::tuple<const char*, int64_t, int64_t> limits[] = {
      {"max_running", engine.max_running, 4096},
      {"max_step_tokens", engine.max_step_tokens, 1 << 16},
      {"max_prompt_tokens", engine.max_prompt_tokens, 1 << 30},
      {"max_generated_tokens", engine.max_generated_tokens, 1 << 30},
      {"max_total_tokens", engine.max_total_tokens, int64_t{1} << 40},
      {"state_cache_interval", engine.state_cache_interval, 1 << 30},
  };
  for (const auto& [flag, value, high] : limits) {
    if (value > high) return FlagError(flag, value, " is more than ", high);
  }
  if (engine.max_decode_slowdown > 1000) {
    return FlagError("max_decode_slowdown", engine.max_decode_slowdown,
                     " is more than 1000");
  }
  RWKVD_RETURN_IF_ERROR(
      CheckRange("max_queued", engine.max_queued, 1, 1 << 20));
  const absl::Status status = Validate(engine);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--", status.message()));
}

}  // namespace

absl::Status ReadComputeFlags(ComputeOptions* options) {
  options->threads = absl::GetFlag(FLAGS_threads);
  RWKVD_RETURN_IF_ERROR(CheckRange("threads", options->threads, 0, 1024));
  options->isa = absl::GetFlag(FLAGS_isa);
  RWKVD_RETURN_IF_ERROR(CheckIsa(options->isa));
  ReadLimits(&options->engine);
  RWKVD_RETURN_IF_ERROR(ReadStateCache(&options->engine));
  return CheckEngine(options->engine);
}

}  // namespace rwkvd
