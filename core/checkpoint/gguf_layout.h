// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_LAYOUT_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_LAYOUT_H_

#include "absl/status/statusor.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/native_tensors.h"

namespace rwkvd {

// Translates the names and shapes of a GGUF file of RWKV-6 or RWKV-7, as
// llama.cpp's converter writes them, to the native layout. It has names of its
// own, low-rank matrices are transposed, and the vectors of the token shift are
// the rows of one tensor. The result views the same memory, or its own copies.
//
// The converter divides att.output and ffn.value of layer N of version 6 by
// 2^(N / R), where R is rwkv6.rescale_every_n_layers, since llama.cpp halves
// activations after every R layers. The division is undone: for block types by
// Tensor::factor, for others in a copy.
//
// Drops the low-rank matrices v of layer 0 of version 7, which are copies of
// others and have no use.
//
// Returns InvalidArgument, with the file and the key or tensor, for any other
// architecture, a tensor that does not belong to it, or key-values that
// contradict the tensors. Does not check whether tensors are missing or have
// the wrong size.
absl::StatusOr<NativeTensors> GgufToNativeLayout(Gguf gguf);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_LAYOUT_H_
