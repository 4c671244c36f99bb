// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_LAYERED_MODEL_H_
#define RWKVD_CORE_MODEL_LAYERED_MODEL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/model/model.h"
#include "core/model/rows.h"
#include "core/model/workspace.h"

namespace rwkvd {

// One forward pass over some chunks. Model::Forward runs all steps in order:
// Embed, then RunTimeMixing and RunChannelMixing of each layer, then
// ComputeLogits. rwkv-convert runs one block over a whole text before the next
// block, and saves and restores the carried activations in between.
//
// Used by one thread. The chunks, their tokens and the workspace outlive it; a
// workspace serves one pass at a time.
class ForwardPass {
 public:
  virtual ~ForwardPass() = default;

  // Fills the residual stream with the embeddings of the tokens.
  virtual void Embed() = 0;
  // Each adds one block's output to the residual stream, and advances that
  // block's part of each chunk's state past the chunk's tokens.
  virtual void RunTimeMixing(int64_t layer) = 0;
  virtual void RunChannelMixing(int64_t layer) = 0;
  // Fills the logits that the chunks want.
  virtual void ComputeLogits() = 0;

  // All activations that one step leaves for later steps: first the residual
  // stream [T, embedding_size], then, of version 7, the values of layer 0
  // [T, attention_size]. T is the number of tokens of all chunks. The rows lie
  // in the workspace.
  virtual std::vector<Rows> CarriedActivations() const = 0;
};

// A model whose forward pass can be run step by step. Thread-safe as Model is.
class LayeredModel : public Model {
 public:
  // The activations are laid out here and hold no values yet.
  virtual std::unique_ptr<ForwardPass> BeginPass(
      absl::Span<const Chunk> chunks, Workspace& workspace) const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_LAYERED_MODEL_H_
