// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// What the converters of web-rwkv and Ai00 write (*.st): native names, except
// that time_faaaa is called time_first and time_maa time_mix, and that LoRA
// matrices and initial states are transposed. Versions 4 and 5.0 come out
// native.

// By what is not native: the names that version 6 has only here, one
// time_first for each channel of a head, or transposed LoRA matrices in
// version 7 (one of the two converters leaves those as they are: native).
bool IsWebRwkv(absl::Span<const Tensor> stored);

absl::Status CollectWebRwkv(std::vector<Tensor> stored,
                            NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_
