// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_REQUEST_MEMORY_H_
#define RWKVD_CORE_ENGINE_REQUEST_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/base/byte_budget.h"
#include "core/engine/request.h"

namespace rwkvd {

// Upper bounds on the memory, in bytes, that a request takes in the engine
// until it ends, without states and logits: tokens, sampler, scores. For a
// GenerateRequest it is that of one sample. `num_ids` is the number of tokens
// in the vocabulary.
int64_t MemoryOf(const GenerateRequest& request, int64_t num_ids);
int64_t MemoryOf(const ScoreRequest& request);

// What requests and snapshots take together. Shared by the engine, its
// sequences, and snapshots, which may outlive the engine. Thread-safe.
struct EngineMemory {
  explicit EngineMemory(int64_t max_request_bytes)
      : requests(max_request_bytes) {}

  ByteBudget requests;  // see MemoryOf
  std::atomic<int64_t> num_snapshots{0};
};

// The memory that one request has reserved. Its snapshot, if it has one, holds
// it longer. A default value has reserved nothing. Thread-compatible.
struct RequestMemory {
  std::shared_ptr<EngineMemory> engine;
  std::shared_ptr<ByteBudget> flow;  // that of FlowUse; null: there is none
  ByteBudget::Reservation bytes;     // in both; destroyed before them
};

// Returns `snapshot` as a shared one that holds `memory` and counts in
// num_snapshots until it is destroyed.
std::shared_ptr<const Snapshot> ShareSnapshot(Snapshot snapshot,
                                              RequestMemory memory);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_REQUEST_MEMORY_H_
