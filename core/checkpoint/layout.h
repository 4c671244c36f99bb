// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_LAYOUT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/hub_config.h"
#include "core/checkpoint/native_tensors.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// Recognizes the layout of a checkpoint by the names and shapes of all its
// tensors, and translates it to the native layout. The result views the same
// memory as `stored`, or its own copies. Does not check whether tensors are
// missing or have the wrong size. Adds a head that is tied to the embedding,
// and drops weights that no model uses. Of an unknown name,
// only the outer parts are translated, so that the model refuses it by name.
//
// Messages begin with `path`; `config` is the config.json next to the weights.
// Returns InvalidArgument if two stored tensors have the same native name, if a
// shape cannot be translated, if there are LoRA adapters that have not been
// merged, if the weights are quantized according to `config`, or as
// HasEmbeddingNorm returns it.
absl::StatusOr<NativeTensors> ToNativeLayout(std::vector<Tensor> stored,
                                             absl::string_view path,
                                             const HubConfig& config);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_LAYOUT_H_
