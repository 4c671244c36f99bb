// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_ENGINE_COUNTERS_H_
#define RWKVD_CORE_ENGINE_ENGINE_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "core/base/histogram.h"
#include "core/engine/engine_stats.h"
#include "core/engine/sink.h"

namespace rwkvd {

// A number that any thread may change and read. Thread-safe.
class Counter {
 public:
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// The current values of the fields of EngineStats.
//
// Owned by the engine. Thread-safe without locks: mostly the engine's thread
// writes, and any thread reads.
struct EngineCounters {
  EngineCounters();

  // Everything except what the engine's queue and the state cache know:
  // `queued`, and the cache's bytes, entries, pins and evictions.
  EngineStats Read() const;

  Counter running;
  Counter ffn_sparsity_ppm;  // parts per million

  Counter prompt_tokens;
  Counter cached_tokens;
  Counter generated_tokens;
  Counter scored_tokens;
  std::array<Counter, kNumDraftKinds> drafted_tokens;   // by DraftKind
  std::array<Counter, kNumDraftKinds> accepted_tokens;  // of these
  Counter steps;
  Counter state_cache_queries;
  Counter state_cache_hits;
  Counter rejected_queue_full;
  Counter rejected_draining;
  Counter rejected_total_tokens;
  Counter rejected_memory;
  Counter rejected_queue_time;
  Counter rejected_deadline;
  std::array<Counter, kNumFinishReasons> finished;

  Histogram queue_seconds;
  Histogram prefill_seconds;
  Histogram decode_seconds;
  Histogram inter_token_seconds;
  Histogram step_seconds;
  Histogram batch_size;
  Histogram batch_tokens;
};

// In seconds. Never negative, although a clock may be set back.
double PositiveSeconds(absl::Duration duration);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_ENGINE_COUNTERS_H_
