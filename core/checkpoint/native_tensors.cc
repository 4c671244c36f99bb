// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/native_tensors.h"

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
    case Layout::kGguf:
      return "GGUF";
  }
  return "?";
}

}  // namespace rwkvd
