// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_STEPWISE_MODEL_H_
#define RWKVD_CORE_MODEL_STEPWISE_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/model/model.h"
#include "core/model/rows.h"
#include "core/model/workspace.h"

namespace rwkvd {

// A model that can also be run step by step, for who looks into it: Begin, the
// blocks in order, End. Block 2 * i is the time mixing of layer i, block
// 2 * i + 1 its channel mixing.
//
// What one step leaves for the next lies in the workspace, which serves the
// same chunks until End, and can be had, kept and put back: Passed. The state
// of a chunk is advanced by each block for itself, so that a block can be run
// over a whole text before the next one is.
class StepwiseModel : public Model {
 public:
  void Forward(absl::Span<const Chunk> chunks,
               Workspace& workspace) const final;

  int64_t num_blocks() const { return 2 * config().num_layers; }

  // The embedding.
  virtual void Begin(absl::Span<const Chunk> chunks,
                     Workspace& workspace) const = 0;
  void RunBlock(int64_t block, absl::Span<const Chunk> chunks,
                Workspace& workspace) const;
  // The head: fills the logits that are wanted.
  virtual void End(absl::Span<const Chunk> chunks,
                   Workspace& workspace) const = 0;

  // Between two steps, of chunks of `num_rows` tokens: first the residual
  // stream [num_rows, embedding_size], then whatever else later blocks need.
  // Valid until the workspace is used for other chunks.
  virtual std::vector<Rows> Passed(int64_t num_rows,
                                   Workspace& workspace) const = 0;

 private:
  virtual void RunTimeMixing(int64_t layer, absl::Span<const Chunk> chunks,
                             Workspace& workspace) const = 0;
  virtual void RunChannelMixing(int64_t layer, absl::Span<const Chunk> chunks,
                                Workspace& workspace) const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_STEPWISE_MODEL_H_
