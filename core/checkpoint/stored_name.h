// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_STORED_NAME_H_
#define RWKVD_CORE_CHECKPOINT_STORED_NAME_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// A tensor's name, taken apart at the number of its layer. Views the name.
struct LayerName {
  absl::string_view layers;  // what layers are called: "blocks" or "layers"
  absl::string_view number;  // digits
  absl::string_view part;    // "att.key.weight"
};

// Nothing if `name` is not that of a layer's tensor.
std::optional<LayerName> SplitLayerName(absl::string_view name);

// "blocks.0.att.key.weight"
std::string NativeName(absl::string_view layer, absl::string_view part);

// The name with the network's outer parts (embedding, layers, attention,
// norms, head) called as they are natively, whichever of the Hugging Face
// libraries called them something else; what follows the part stays:
// "model.layers.3.attn.k_proj.weight" gives "blocks.3.att.k_proj.weight".
std::string WithNativeParts(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STORED_NAME_H_
