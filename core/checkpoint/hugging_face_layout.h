// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_HUGGING_FACE_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_HUGGING_FACE_LAYOUT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The layout of RwkvForCausalLM (version 4) in transformers, and of later
// models that were published with code of their own (versions 5.2 and 6), with
// or without the prefix "rwkv.". It differs from the native layout in names
// only.

// Whether the names are those of this layout.
bool IsHuggingFace(absl::Span<const Tensor> stored);

// Adds all tensors to `collector` with their native names.
absl::Status CollectHuggingFace(std::vector<Tensor> stored,
                                NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_HUGGING_FACE_LAYOUT_H_
