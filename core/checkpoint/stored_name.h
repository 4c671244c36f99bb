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

// `name` without the words that training frameworks add to the names of a
// module that they wrap: "module." (DataParallel) and "_forward_module."
// (Lightning, DeepSpeed) before the name, "_orig_mod." (torch.compile),
// "_fsdp_wrapped_module." and "_checkpoint_wrapped_module." before any part of
// it. Several of them may occur.
std::string WithoutFrameworkWords(absl::string_view name);

// `name` also without the names of the whole model, or of the dict that it was
// saved in, before it: "model.", "rwkv.", "rwkv7.", "net.", "transformer.",
// "backbone.", "base_model.", "state_dict.".
std::string WithoutPrefixes(absl::string_view name);

// `name` with the outer parts of the model (embedding, layers, attention,
// norms, head) renamed from any of the libraries' names to the native ones,
// and without prefixes. The rest of the name stays:
// "model.layers.3.attn.k_proj.weight" gives "blocks.3.att.k_proj.weight".
std::string WithNativeParts(absl::string_view name);

// Whether a stored tensor or module is one that some files contain, but no
// model uses. Version 7 mixes the values of each layer with those of the first
// layer; the first layer itself does not use the weights of this mix.
bool IsUnusedWeight(absl::string_view stored);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_STORED_NAME_H_
