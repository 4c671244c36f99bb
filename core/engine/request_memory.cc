// SPDX-License-Identifier: Apache-2.0
#include "core/engine/request_memory.h"

#include "core/engine/snapshot.h"
#include "core/engine/validate.h"
#include "core/sampling/sampler.h"

namespace rwkvd {
namespace {

// A sequence with its members of fixed size, what the engine and the call keep
// for it, and the allocator's share. Measured: about 5 KiB.
constexpr int64_t kSequenceBytes = 8 << 10;

// A stop string: twice its bytes, an automaton of 4 bytes for each, and the
// vectors of both.
constexpr int64_t kStopByteBytes = 8;
constexpr int64_t kStopStringBytes = 128;

constexpr int64_t kTokenBytes = sizeof(int32_t);

// A token of a score request: in its item, in the common prefix of all contexts
// and in the tree, and in the event that reports it.
constexpr int64_t kScoredTokenBytes = 48;
// A text, which adds at most two nodes to the tree; an item.
constexpr int64_t kTextBytes = 768;
constexpr int64_t kItemBytes = 768;

// A snapshot and what it holds.
struct HeldSnapshot {
  ~HeldSnapshot() {
    if (memory.engine != nullptr) memory.engine->num_snapshots.fetch_sub(1);
  }

  Snapshot snapshot;
  RequestMemory memory;
};

}  // namespace

int64_t MemoryOf(const GenerateRequest& request, int64_t num_ids) {
  const int64_t num_tokens = TokensOf(request);
  int64_t bytes = kSequenceBytes + num_tokens * kTokenBytes;
  bytes += static_cast<int64_t>(request.stop_tokens.size()) * kTokenBytes;
  for (const std::string& stop : request.stop_strings) {
    bytes +=
        kStopStringBytes + static_cast<int64_t>(stop.size()) * kStopByteBytes;
  }
  return bytes + Sampler::MaxBytes(request.sampling, num_ids, num_tokens);
}

int64_t MemoryOf(const ScoreRequest& request) {
  int64_t num_texts = 0;
  for (const ScoreItem& item : request.items) {
    num_texts += static_cast<int64_t>(item.continuations.size());
  }
  return kSequenceBytes + TokensOf(request) * kScoredTokenBytes +
         num_texts * kTextBytes +
         static_cast<int64_t>(request.items.size()) * kItemBytes;
}

std::shared_ptr<const Snapshot> ShareSnapshot(Snapshot snapshot,
                                              RequestMemory memory) {
  auto held = std::make_shared<HeldSnapshot>();
  held->snapshot = std::move(snapshot);
  held->memory = std::move(memory);
  if (held->memory.engine != nullptr) {
    held->memory.engine->num_snapshots.fetch_add(1);
  }
  const Snapshot* const shared = &held->snapshot;
  return std::shared_ptr<const Snapshot>(std::move(held), shared);
}

}  // namespace rwkvd
