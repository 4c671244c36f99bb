// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_EMBEDDING_NORM_H_
#define RWKVD_CORE_CHECKPOINT_EMBEDDING_NORM_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/hub_config.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/native_tensors.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The LayerNorm after the embedding (blocks.0.ln0). Some files store an
// embedding to which it has been applied already. They omit it, or store ones
// and zeros that must not be applied; that changes the results so little that
// they look right.

// Whether the model applies the LayerNorm to the stored embedding. `collector`
// holds the whole checkpoint, and `config` is the config.json next to it.
// Returns InvalidArgument, with `path` or the tensor, if they contradict each
// other, or if only config.json could decide and it does not.
absl::StatusOr<bool> HasEmbeddingNorm(Layout layout, const HubConfig& config,
                                      absl::string_view path,
                                      const NativeCollector& collector);

// Removes the LayerNorm's tensors.
void DropEmbeddingNorm(std::vector<Tensor>& tensors);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_EMBEDDING_NORM_H_
