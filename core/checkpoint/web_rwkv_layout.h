// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/stored_name.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The layout that the converters of web-rwkv and Ai00 write (*.st). It has
// native names, except for time_first (natively time_faaaa) and time_mix
// (natively time_maa), and LoRA matrices and initial states are transposed.
// Files of versions 4 and 5.0 are the same as native ones. A value.
class WebRwkvLayout {
 public:
  // Examines all tensors of a checkpoint, which have their stored names.
  explicit WebRwkvLayout(absl::Span<const Tensor> stored);

  // Whether the checkpoint has this layout and differs from a native one:
  // version 6 has its own names here, time_first has one number for each
  // channel of a head, or LoRA matrices of version 7 are transposed (one of the
  // two converters writes version 7 natively).
  bool applies() const {
    return is_version_6_ || has_head_bonus_ || has_transposed_;
  }

  // Adds a tensor of a layer, whose name is split, to `collector` in the native
  // layout. InvalidArgument if its orientation is unknown, or as
  // NativeCollector returns it.
  absl::Status Add(const LayerName& name, Tensor stored,
                   NativeCollector& collector) const;

 private:
  bool is_version_6_ = false;
  bool has_head_bonus_ = false;  // time_first stands for time_faaaa
  bool has_native_ = false;      // some LoRA matrix has this orientation
  bool has_transposed_ = false;
  int64_t channels_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_WEB_RWKV_LAYOUT_H_
