// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The layout that the converters of web-rwkv and Ai00 write (*.st). It has
// native names, except for time_first (natively time_faaaa) and time_mix
// (natively time_maa), and LoRA matrices and initial states are transposed.
// Files of versions 4 and 5.0 are the same as native ones.

// Whether the checkpoint differs from a native one: version 6 has its own names
// here, time_first has one number for each channel of a head, or LoRA matrices
// of version 7 are transposed (one of the two converters writes version 7
// natively).
bool IsWebRwkv(absl::Span<const Tensor> stored);

// Adds all tensors to `collector` in the native layout.
absl::Status CollectWebRwkv(std::vector<Tensor> stored,
                            NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_
