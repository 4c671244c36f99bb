// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/hub_config.h"
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
  // What some of the tensors view, where no view of the file can express them.
  std::vector<std::unique_ptr<std::byte[]>> copies;
  int64_t copied_bytes = 0;
};

// Recognises the layout of all the tensors of a checkpoint by their names and
// shapes, and translates it. The result views what `stored` views, and its own
// copies. Which tensors a network needs, and their sizes, is not checked here;
// what is absent stays absent.
//
// `path` begins the messages; `config` is the config.json beside the weights.
// InvalidArgument if two stored tensors mean the same native one, or if one
// has a shape that cannot be translated.
absl::StatusOr<NativeTensors> ToNativeLayout(std::vector<Tensor> stored,
                                             absl::string_view path,
                                             const HubConfig& config);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_LAYOUT_H_
