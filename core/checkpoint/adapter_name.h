// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_ADAPTER_NAME_H_
#define RWKVD_CORE_CHECKPOINT_ADAPTER_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// What a tensor of an adapter is.
enum class AdapterPart {
  kA,           // lora_A.weight, or lora_A
  kB,           // lora_B.weight, or lora_B
  kEmbeddingA,  // lora_embedding_A: A of an embedding, [rank, vocabulary]
  kEmbeddingB,  // lora_embedding_B: [channels, rank]
  kMagnitude,   // lora_magnitude_vector, of DoRA
  kWhole,       // replaces a tensor of the base model
};

// The name of an adapter's tensor, split. A value.
struct AdapterName {
  AdapterPart part = AdapterPart::kWhole;
  // The module that is changed, such as "rwkv7.blocks.0.att.key"; of kWhole,
  // the name of the tensor.
  std::string module;
};

// Splits a stored name. Removes the words of training frameworks, and what PEFT
// adds: "base_model.model." before it, "modules_to_save.", the adapter's own
// name "default", and "base_layer." in whole tensors of changed modules.
AdapterName SplitAdapterName(absl::string_view stored);

// Whether the name shows another kind of adapter, that is not supported:
// "MiSS", "Bone", "DiSHA", "PiSSA" and others; "" if it does not.
absl::string_view OtherAdapterKind(absl::string_view stored);

// The native name of a tensor of the base model, and whether the native tensor
// is the transposed one. Tensors that hold several native ones keep their name,
// and so have no place.
struct NativePlace {
  std::string name;
  bool is_transposed = false;
};

// The place of the tensor `stored`, a name of any layout.
NativePlace PlaceOf(absl::string_view stored);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_ADAPTER_NAME_H_
