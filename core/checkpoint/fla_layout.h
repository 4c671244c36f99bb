// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_FLA_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_FLA_LAYOUT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The layout of RWKV7ForCausalLM and RWKV6ForCausalLM in
// flash-linear-attention. Both store LoRA matrices transposed. Version 6 also
// joins those of the token shift in another order than the native one, so that
// they must be copied.

// Whether the names are those of this layout.
bool IsFlashLinearAttention(absl::Span<const Tensor> stored);

// Adds all tensors to `collector` in the native layout. Returns
// InvalidArgument, in addition to the collector's errors, for a tensor that
// does not belong to these models.
absl::Status CollectFlashLinearAttention(std::vector<Tensor> stored,
                                         NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_FLA_LAYOUT_H_
