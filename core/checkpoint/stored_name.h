// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_STORED_NAME_H_
#define RWKVD_CORE_CHECKPOINT_STORED_NAME_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// A tensor's name, split at the number of its layer. Views the name.
struct LayerName {
  absl::string_view layers;  // the word for layers: "blocks" or "layers"
  absl::string_view number;  // digits
  absl::string_view part;    // "att.key.weight"
};

// Splits `name`; empty if it is not the name of a layer's tensor.
std::optional<LayerName> SplitLayerName(absl::string_view name);

// The native name of a layer's tensor, such as "blocks.0.att.key.weight".
std::string NativeName(absl::string_view layer, absl::string_view part);

// `name` with the outer parts of the model (embedding, layers, attention,
// norms, head) renamed from any of the Hugging Face libraries' names to the
// native ones. The rest of the name stays: "model.layers.3.attn.k_proj.weight"
// gives "blocks.3.att.k_proj.weight".
std::string WithNativeParts(absl::string_view name);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STORED_NAME_H_
