// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_SAMPLES_H_
#define RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_SAMPLES_H_

// Small checkpoints of every version in the native layout, and the same
// checkpoints as other programs store them. The translation is written
// independently of the code under test, in the opposite direction.

#include <string>

#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {

// Sizes of the samples. They differ where a mistake could exchange dimensions.
inline constexpr int64_t kLayers = 2;
inline constexpr int64_t kChannels = 12;
inline constexpr int64_t kHeads = 3;
inline constexpr int64_t kHeadSize = 4;

// All tensors of a model of `version`: "4", "5.0", "5.1", "5.2", "6" or "7".
// All elements of the checkpoint are different.
TestTensors NativeSample(const std::string& version);

// The tensor with its last two dimensions exchanged.
TestTensor TransposedTensor(const TestTensor& tensor);

// The layout of transformers for version 4, and of later models for versions
// 5.2 and 6.
TestTensors AsHuggingFace(const TestTensors& native);
// The current layout of flash-linear-attention for version 7.
TestTensors AsFla7(const TestTensors& native);
// Its first layout for version 7, with the vectors of the token shift in one
// matrix.
TestTensors AsOldFla7(const TestTensors& native);
// The layout of flash-linear-attention for version 6.
TestTensors AsFla6(const TestTensors& native);
// The layout of web-rwkv's converter for versions 4 to 7, with the number types
// of `native`.
TestTensors AsWebRwkv(const TestTensors& native);

// The official releases of version 7 of August 2026: "rwkv7." before all names
// but that of the head.
TestTensors AsRelease7(const TestTensors& native);
// The same with "model.".
TestTensors AsModel(const TestTensors& native);
// AsRelease7 with another name of the embedding.
TestTensors AsEmbeddings7(const TestTensors& native);
// AsModel with LoRA matrices as layers, whose weights are [outputs, inputs].
TestTensors AsLinear7(const TestTensors& native);
// What torch.compile makes of the names.
TestTensors AsCompiled(const TestTensors& native);
// Frameworks wrap a model that a trainer calls "model", and its layers.
TestTensors AsWrapped(const TestTensors& native);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_SAMPLES_H_
