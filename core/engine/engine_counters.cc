// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine_counters.h"

#include <algorithm>

#include "core/engine/latency_buckets.h"

namespace rwkvd {
namespace {

constexpr double kPowersOfTwo[] = {1,   2,   4,   8,    16,   32,  64,
                                   128, 256, 512, 1024, 2048, 4096};

}  // namespace

EngineCounters::EngineCounters()
    : queue_seconds(kFirstTokenSeconds),
      prefill_seconds(kFirstTokenSeconds),
      decode_seconds(kRequestSeconds),
      inter_token_seconds(kTokenSeconds),
      step_seconds(kFirstTokenSeconds),
      batch_size(kPowersOfTwo),
      batch_tokens(kPowersOfTwo) {}

EngineStats EngineCounters::Read() const {
  EngineStats stats;
  stats.running = running.value();
  stats.ffn_sparsity = static_cast<double>(ffn_sparsity_ppm.value()) * 1e-6;
  stats.prompt_tokens = prompt_tokens.value();
  stats.cached_tokens = cached_tokens.value();
  stats.generated_tokens = generated_tokens.value();
  stats.scored_tokens = scored_tokens.value();
  for (int i = 0; i < kNumDraftKinds; ++i) {
    stats.drafted_tokens[i] = drafted_tokens[i].value();
    stats.accepted_tokens[i] = accepted_tokens[i].value();
  }
  stats.steps = steps.value();
  stats.state_cache_queries = state_cache_queries.value();
  stats.state_cache_hits = state_cache_hits.value();
  stats.rejected_queue_full = rejected_queue_full.value();
  stats.rejected_draining = rejected_draining.value();
  stats.rejected_total_tokens = rejected_total_tokens.value();
  stats.rejected_memory = rejected_memory.value();
  stats.rejected_queue_time = rejected_queue_time.value();
  stats.rejected_deadline = rejected_deadline.value();
  for (int i = 0; i < kNumFinishReasons; ++i) {
    stats.finished[i] = finished[i].value();
  }
  stats.queue_seconds = queue_seconds.Read();
  stats.prefill_seconds = prefill_seconds.Read();
  stats.decode_seconds = decode_seconds.Read();
  stats.inter_token_seconds = inter_token_seconds.Read();
  stats.step_seconds = step_seconds.Read();
  stats.batch_size = batch_size.Read();
  stats.batch_tokens = batch_tokens.Read();
  return stats;
}

double PositiveSeconds(absl::Duration duration) {
  return std::max(absl::ToDoubleSeconds(duration), 0.0);
}

}  // namespace rwkvd
