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

// After which tokens of a chunk the logits of the next token are computed.
enum class LogitsWanted { kNone, kLast, kAll };

// Consecutive tokens of one sequence: one when decoding, many of a prompt.
struct Chunk {
  // At least one token; each is in [0, vocab_size).
  absl::Span<const int32_t> tokens;
  // Advanced past `tokens`. No two chunks of a call share a state.
  State* state = nullptr;
  LogitsWanted wanted = LogitsWanted::kNone;
  // [LogitsRows(), vocab_size], written.
  absl::Span<float> logits;
  // Unless empty, [tokens.size() - 1], written: element i becomes the state
  // after tokens[i], so that the caller can return to any token. Each has the
  // size of `state`, and no other chunk has it.
  absl::Span<State> inner_states;

  // 0, 1 or tokens.size(), depending on `wanted`.
  int64_t LogitsRows() const;
};

// An RWKV model with its weights.
//
// Owned by the process; outlives the engine that runs it. Thread-safe
// (immutable), but a Workspace serves one Forward at a time.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;

  // Returns the state before the first token: the tuned initial state, if the
  // checkpoint has one (tensors blocks.N.att.time_state), otherwise zero.
  virtual State NewState() const = 0;

  // Returns the tuned initial state that `file` holds, to be used instead of
  // NewState. InvalidArgument if a tensor is missing or misshapen, or if this
  // version of RWKV has no such states.
  virtual absl::StatusOr<State> NewTunedState(const TensorFile& file) const = 0;

  // Returns a workspace for at most `max_rows` tokens per call, over all
  // chunks. It computes on `pool`, which outlives it.
  virtual Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const = 0;

  // Advances the state of each chunk and fills its logits. Prefill, decode and
  // score all use this call; each weight matrix is read once for all rows. The
  // results of a chunk are bit-identical whatever the other chunks are, the
  // number of threads is, and however its sequence is split into chunks.
  virtual void Forward(absl::Span<const Chunk> chunks,
                       Workspace& workspace) const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MODEL_H_
