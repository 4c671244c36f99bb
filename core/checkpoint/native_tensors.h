// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_NATIVE_TENSORS_H_
#define RWKVD_CORE_CHECKPOINT_NATIVE_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The conventions for names, orientation and order of a checkpoint's tensors,
// which differ between libraries. The native layout is that of the training
// code.
enum class Layout {
  kNative,
  kHuggingFace,
  kFlashLinearAttention,
  kWebRwkv,
  kGguf,
};

// The layout's name: "native", "Hugging Face", "flash-linear-attention",
// "web-rwkv" or "GGUF".
absl::string_view NameOf(Layout layout);

// The tensors of a checkpoint in the native layout.
struct NativeTensors {
  Layout layout = Layout::kNative;  // of the file
  std::vector<Tensor> tensors;
  // Whether the model has blocks.0.ln0. If true and the tensor is absent, the
  // checkpoint is incomplete.
  bool has_embedding_norm = true;
  // Memory of tensors that are not views of the file.
  std::vector<std::shared_ptr<std::byte[]>> copies;
  int64_t copied_bytes = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_NATIVE_TENSORS_H_
