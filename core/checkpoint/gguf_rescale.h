// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_RESCALE_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_RESCALE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// `stored` times 2^halvings: by Tensor::factor for block types, which costs
// nothing, for others as a copy that `collector` owns. `key` is that of the
// file because of which it was divided, for messages. InvalidArgument if
// `halvings` is too large, an element becomes too large for its type, or the
// copies of all tensors take too much memory.
absl::StatusOr<Tensor> WithoutHalvings(Tensor stored, int64_t halvings,
                                       absl::string_view key,
                                       NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_RESCALE_H_
