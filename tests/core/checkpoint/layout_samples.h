// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_SAMPLES_H_
#define RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_SAMPLES_H_

// Small checkpoints of every version under native names, and the same as other
// programs store them. Written from the layouts' description, independently of
// the code under test, and the other way round.

#include <string>

#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {

// Sizes of the samples. No two that a mistake could exchange are equal.
inline constexpr int64_t kLayers = 2;
inline constexpr int64_t kChannels = 12;
inline constexpr int64_t kHeads = 3;
inline constexpr int64_t kHeadSize = 4;

// All tensors of a network of `version`: "4", "5.0", "5.1", "5.2", "6" or "7".
// Every element of the checkpoint has another value.
TestTensors NativeSample(const std::string& version);

// The last two dimensions exchanged.
TestTensor TransposedTensor(const TestTensor& tensor);

// As transformers names version 4, and its successors versions 5.2 and 6.
TestTensors AsHuggingFace(const TestTensors& native);
// As flash-linear-attention stores version 7 today,
TestTensors AsFla7(const TestTensors& native);
// at first, with the token shift's vectors in one matrix,
TestTensors AsOldFla7(const TestTensors& native);
// and version 6.
TestTensors AsFla6(const TestTensors& native);
// As web-rwkv's converter writes versions 4 to 7, in `native`'s number types.
TestTensors AsWebRwkv(const TestTensors& native);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_CORE_CHECKPOINT_LAYOUT_SAMPLES_H_
