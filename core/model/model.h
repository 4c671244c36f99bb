// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MODEL_H_
#define RWKVD_CORE_MODEL_MODEL_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/state.h"
#include "core/model/workspace.h"

namespace rwkvd {

// Which of a chunk's tokens have the logits of their next token computed.
enum class LogitsWanted { kNone, kLast, kAll };

// Consecutive tokens of one sequence: one when decoding, many of a prompt.
struct Chunk {
  // At least one; each in [0, vocab_size).
  absl::Span<const int32_t> tokens;
  // Read, then advanced past `tokens`. No two chunks of a call share one.
  State* state = nullptr;
  LogitsWanted wanted = LogitsWanted::kNone;
  // [LogitsRows(), vocab_size], written.
  absl::Span<float> logits;

  // 0, 1 or tokens.size(), as `wanted` says.
  int64_t LogitsRows() const;
};

// A network with its weights.
//
// Owned by the process; outlives the engine that runs it. Thread-safe (const),
// but a Workspace serves one Forward at a time.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;

  // The state before the first token: zero, or what the checkpoint was tuned
  // to begin with (its tensors blocks.N.att.time_state).
  virtual State NewState() const = 0;

  // The state before the first token that `file` holds as such tensors, in
  // place of the checkpoint's own. InvalidArgument if any is missing,
  // misshapen, or this version of the network has none.
  virtual absl::StatusOr<State> NewTunedState(const TensorFile& file) const = 0;

  // A workspace for at most `max_rows` tokens in a call, over all chunks. It
  // computes on `pool`, which must outlive it.
  virtual Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const = 0;

  // Advances every chunk's state and fills its logits. Prefill, decode and
  // score are this same call; each weight matrix is read once for all rows.
  // What a chunk gets does not depend, by a single bit, on the other chunks,
  // the number of threads, or how its sequence was cut into chunks.
  virtual void Forward(absl::Span<const Chunk> chunks,
                       Workspace& workspace) const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MODEL_H_
