// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_RANDOM_CHECKPOINT_H_
#define RWKVD_TESTS_TESTING_RANDOM_CHECKPOINT_H_

// Random models of every version in the native layout. Every tensor changes the
// logits noticeably, so that tests detect if one is ignored. Version 4 is in
// tiny_checkpoint.h.

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "core/base/dtype.h"
#include "core/model/config.h"
#include "tests/testing/test_tensor.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {

// The embedding has heads * head_size channels. The defaults of heads, head
// size, embedding and hidden units differ, so that tests detect if two are
// confused.
struct Rwkv5Sizes {
  int minor = 2;  // of the version: 0, 1 or 2
  int64_t layers = 2;
  int64_t heads = 6;
  int64_t head_size = 16;
  int64_t ffn = 160;
  int64_t vocab = 64;
};

struct Rwkv6Sizes {
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t head_size = 24;
  int64_t ffn = 160;
  int64_t vocab = 64;
  int64_t mix_rank = 8;     // of each of the five parts of time_maa_w1
  int64_t decay_rank = 12;  // of time_decay_w1
};

struct Rwkv7Sizes {
  // Three, because layers use the values of the first layer, not the previous.
  int64_t layers = 3;
  int64_t heads = 3;
  int64_t head_size = 32;
  int64_t ffn = 160;
  int64_t vocab = 64;
  int64_t w_rank = 12, a_rank = 10, v_rank = 6, g_rank = 20;
  // Whether layer 0 has v0, v1 and v2 like later layers. The model ignores
  // them; they have large random values.
  bool first_layer_has_v = true;
};

using DTypeOf = absl::FunctionRef<DType(const std::string& name)>;

TestTensors RandomRwkv5(const Rwkv5Sizes& sizes, uint64_t seed, DTypeOf dtype);
TestTensors RandomRwkv5(const Rwkv5Sizes& sizes, uint64_t seed,
                        DType dtype = DType::kF32);
TestTensors RandomRwkv6(const Rwkv6Sizes& sizes, uint64_t seed, DTypeOf dtype);
TestTensors RandomRwkv6(const Rwkv6Sizes& sizes, uint64_t seed,
                        DType dtype = DType::kF32);
TestTensors RandomRwkv7(const Rwkv7Sizes& sizes, uint64_t seed, DTypeOf dtype);
TestTensors RandomRwkv7(const Rwkv7Sizes& sizes, uint64_t seed,
                        DType dtype = DType::kF32);

inline constexpr Architecture kAllArchitectures[] = {
    Architecture::kRwkv4,  Architecture::kRwkv50, Architecture::kRwkv51,
    Architecture::kRwkv52, Architecture::kRwkv6,  Architecture::kRwkv7};

// The sizes of a model of any version.
struct ModelSizes {
  Rwkv4Sizes rwkv4;
  Rwkv5Sizes rwkv5;  // `minor` is ignored
  Rwkv6Sizes rwkv6;
  Rwkv7Sizes rwkv7;
};

TestTensors RandomCheckpoint(Architecture architecture, const ModelSizes& sizes,
                             uint64_t seed, DType dtype = DType::kF32);
// The same with default sizes.
TestTensors RandomCheckpoint(Architecture architecture, uint64_t seed,
                             DType dtype = DType::kF32);

// The tensors of a state-tuned file, blocks.N.att.time_state [heads, head_size,
// head_size], for a model of the given sizes.
TestTensors RandomTimeState(int64_t layers, int64_t heads, int64_t head_size,
                            uint64_t seed, DType dtype = DType::kF32);

// The same for the sizes of `checkpoint`, which is of version 5, 6 or 7.
TestTensors RandomTimeState(const TestTensors& checkpoint, uint64_t seed,
                            DType dtype = DType::kF32);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_RANDOM_CHECKPOINT_H_
