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

// Recognises the layout of all the tensors of a checkpoint by their names and
// shapes, and translates it. The result views what `stored` views, and its own
// copies. Which tensors a network needs, and their sizes, is not checked here;
// what is absent stays absent, except for a head tied to the embedding. Weights
// that no network uses are left out.
//
// `path` begins the messages; `config` is the config.json beside the weights.
// InvalidArgument if two stored tensors mean the same native one, if one has a
// shape that cannot be translated, or if there are LoRA adapters that were to
// be merged.
absl::StatusOr<NativeTensors> ToNativeLayout(std::vector<Tensor> stored,
                                             absl::string_view path,
                                             const HubConfig& config);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_LAYOUT_H_
