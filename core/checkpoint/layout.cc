// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/layout.h"

#include <utility>

namespace rwkvd {

absl::string_view NameOf(Layout layout) {
  switch (layout) {
    case Layout::kNative:
      return "native";
    case Layout::kHuggingFace:
      return "Hugging Face";
    case Layout::kFlashLinearAttention:
      return "flash-linear-attention";
    case Layout::kWebRwkv:
      return "web-rwkv";
  }
  return "unknown";
}

absl::StatusOr<NativeTensors> ToNativeLayout(std::vector<Tensor> stored,
                                             absl::string_view /*path*/,
                                             const HubConfig& /*config*/) {
  NativeTensors native;
  native.tensors = std::move(stored);
  return native;
}

}  // namespace rwkvd
