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

// Who named the tensors of a checkpoint. The same network is stored under
// several sets of names, some with matrices transposed, joined or in another
// order. "Native" is how the training code names them.
enum class Layout { kNative, kHuggingFace, kFlashLinearAttention, kWebRwkv };

// "native", "Hugging Face", "flash-linear-attention", "web-rwkv".
absl::string_view NameOf(Layout layout);

// A checkpoint's tensors under their native names, in native orientation.
struct NativeTensors {
  Layout layout = Layout::kNative;  // what they came in
  std::vector<Tensor> tensors;
  // False if the network is configured to do without blocks.0.ln0; where that
  // is absent all the same, the checkpoint is incomplete.
  bool has_embedding_norm = true;
  // What some of the tensors view, where no view of the file can express them.
  std::vector<std::unique_ptr<std::byte[]>> copies;
  int64_t copied_bytes = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_NATIVE_TENSORS_H_
