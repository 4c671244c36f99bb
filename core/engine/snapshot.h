// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SNAPSHOT_H_
#define RWKVD_CORE_ENGINE_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/model/state.h"
#include "core/model/state_file.h"
#include "core/sampling/sampler.h"

namespace rwkvd {

// All that a Generate request has come to: enough to go on from, in this
// process or another one of the same model. A value.
struct Snapshot {
  State state;
  // All that was read before, oldest first, then what is to be read next.
  std::vector<int32_t> tokens;
  int64_t num_pending = 0;  // of these are to be read
  // [vocab_size], of the token that follows. Empty if some are to be read, or
  // if it is not known.
  std::vector<float> logits;

  // Whether the request was cut short, so that it can itself be taken up again;
  // else another can go on from where it ended. The rest is for that.
  bool is_resumable = false;
  uint64_t seed = 0;
  int64_t prompt_tokens = 0;     // as its Usage says
  int64_t generated_tokens = 0;  // the last of `tokens`
  SamplerProgress sampler;
  std::string withheld_bytes;   // bytes that may begin a stop string
  std::string unfinished_text;  // bytes of a character that is not whole
};

// The bytes of a state file that holds it; docs/state-file.md says what each
// means. InvalidArgument if the state is lost: see SerializeState.
absl::StatusOr<std::string> SerializeSnapshot(const Snapshot& snapshot,
                                              const ModelIdentity& identity);

// The snapshot in `bytes`, of a network of `vocab_size`. A state alone is one
// of which no tokens are known. Errors as of ParseStateFile; InvalidArgument
// too for what no request can have come to. `path` names the bytes in messages.
absl::StatusOr<Snapshot> ParseSnapshot(absl::Span<const std::byte> bytes,
                                       absl::string_view path,
                                       const ModelIdentity& identity,
                                       int64_t vocab_size);

// Bytes that the snapshot of a request with `num_tokens` may take, at most.
int64_t MaxSnapshotBytes(const ModelIdentity& identity, int64_t vocab_size,
                         int64_t num_tokens);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SNAPSHOT_H_
