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

// The progress of a Generate request: enough to continue from it, in this
// process or in another one with the same model. A value.
struct Snapshot {
  State state;
  // The processed tokens, oldest first, then num_pending unprocessed ones.
  std::vector<int32_t> tokens;
  int64_t num_pending = 0;
  // [vocab_size], the prediction of the next token. Empty if tokens are pending
  // or the prediction is unknown.
  std::vector<float> logits;

  // Whether the request was suspended, so that it can be resumed; otherwise a
  // new request can continue from its end. The fields below are for resuming.
  bool is_resumable = false;
  uint64_t seed = 0;
  int64_t prompt_tokens = 0;     // of its Usage
  int64_t generated_tokens = 0;  // the last ones of `tokens`
  SamplerProgress sampler;
  std::string withheld_bytes;   // the beginning of a possible stop string
  std::string unfinished_text;  // the bytes of an incomplete character
};

// The bytes of a state file with the snapshot, in the format of
// docs/state-file.md. Internal if the state is not finite: see SerializeState.
absl::StatusOr<std::string> SerializeSnapshot(const Snapshot& snapshot,
                                              const ModelIdentity& identity);

// The snapshot in `bytes`, for a model with `vocab_size` tokens. Of a file with
// a state only, no tokens are known. `path` names the bytes in messages. Errors
// are those of ParseStateFile, and InvalidArgument for values that no request
// can produce.
absl::StatusOr<Snapshot> ParseSnapshot(absl::Span<const std::byte> bytes,
                                       absl::string_view path,
                                       const ModelIdentity& identity,
                                       int64_t vocab_size);

// The maximum size of a serialized snapshot with `num_tokens` tokens.
int64_t MaxSnapshotBytes(const ModelIdentity& identity, int64_t vocab_size,
                         int64_t num_tokens);

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SNAPSHOT_H_
