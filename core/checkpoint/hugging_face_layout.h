// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_HUGGING_FACE_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_HUGGING_FACE_LAYOUT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The names of RwkvForCausalLM (version 4) in transformers, and of the models
// published with their own code after it (versions 5.2 and 6), with or without
// the prefix "rwkv.". They differ from the native ones in nothing but names.

bool IsHuggingFace(absl::Span<const Tensor> stored);

absl::Status CollectHuggingFace(std::vector<Tensor> stored,
                                NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_HUGGING_FACE_LAYOUT_H_
