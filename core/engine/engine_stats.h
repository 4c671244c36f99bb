// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_STATS_H_
#define RWKVD_CORE_ENGINE_ENGINE_STATS_H_

#include <array>
#include <cstdint>

#include "core/base/histogram.h"
#include "core/engine/draft/draft_source.h"
#include "core/engine/sink.h"

namespace rwkvd {

// Counters, gauges and histograms of an engine. A value; times in seconds.
// Different fields may be a step apart.
struct EngineStats {
  // Current values.
  int64_t queued = 0;
  int64_t running = 0;
  int64_t state_cache_bytes = 0;
  int64_t state_cache_entries = 0;
  int64_t state_cache_pinned = 0;  // names
  // The share of channel mixing's hidden units that was zero in the last step,
  // if the weights allow skipping these; else 0.
  double ffn_sparsity = 0;

  // Totals since the start.
  uint64_t prompt_tokens = 0;  // prefilled, without cached ones
  uint64_t cached_tokens = 0;
  uint64_t generated_tokens = 0;
  uint64_t scored_tokens = 0;
  // Draft tokens that were verified, and those of them that saved a step.
  std::array<uint64_t, kNumDraftKinds> drafted_tokens = {};   // by DraftKind
  std::array<uint64_t, kNumDraftKinds> accepted_tokens = {};  // by DraftKind
  uint64_t steps = 0;
  uint64_t state_cache_queries = 0;
  uint64_t state_cache_hits = 0;
  uint64_t state_cache_evictions = 0;
  uint64_t rejected_queue_full = 0;
  uint64_t rejected_draining = 0;
  uint64_t rejected_total_tokens = 0;
  uint64_t rejected_memory = 0;
  uint64_t rejected_queue_time = 0;
  uint64_t rejected_deadline = 0;
  std::array<uint64_t, kNumFinishReasons> finished = {};  // by FinishReason

  Histogram::Snapshot queue_seconds;        // per request
  Histogram::Snapshot prefill_seconds;      // per request
  Histogram::Snapshot decode_seconds;       // per request
  Histogram::Snapshot inter_token_seconds;  // per token after the first
  Histogram::Snapshot step_seconds;         // per step
  Histogram::Snapshot batch_size;           // sequences per step
  Histogram::Snapshot batch_tokens;         // rows per step
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_STATS_H_
