// SPDX-License-Identifier: Apache-2.0
#include "core/model/stepwise_model.h"

namespace rwkvd {

void StepwiseModel::Forward(absl::Span<const Chunk> chunks,
                            Workspace& workspace) const {
  workspace.Reset();
  Begin(chunks, workspace);
  for (int64_t block = 0; block < num_blocks(); ++block) {
    RunBlock(block, chunks, workspace);
  }
  End(chunks, workspace);
}

void StepwiseModel::RunBlock(int64_t block, absl::Span<const Chunk> chunks,
                             Workspace& workspace) const {
  if (block % 2 == 0) {
    RunTimeMixing(block / 2, chunks, workspace);
  } else {
    RunChannelMixing(block / 2, chunks, workspace);
  }
}

}  // namespace rwkvd
