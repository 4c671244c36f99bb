// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_RWKV7_WEIGHTS_H_
#define RWKVD_CORE_MODEL_RWKV7_WEIGHTS_H_

#include "core/model/blocks.h"
#include "core/model/config.h"
#include "core/model/matrix.h"
#include "core/model/skeleton.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

// A low-rank matrix and a bias: base + up f(down x), where f is the identity,
// tanh or sigmoid. D is the rank, which differs between the matrices.
struct LowRank7 {
  Matrix down;  // [D, C]
  Matrix up;    // [A, D]
  Vector base;  // [A], or empty
};

// C is the embedding size, A the attention size, F the number of hidden units.
struct TimeMixing7 {
  Vector x_r, x_w, x_k, x_v, x_a, x_g;  // [C]
  LowRank7 decay, rate, gate;           // w, a, g of the paper
  LowRank7 value_mix;                   // v; not in layer 0
  Vector k_k, k_a;                      // [A]
  Vector r_k;                           // [A]
  Matrix receptance, key, value;        // [A, C]
  LayerNorm norm;                       // [A], of each head separately
  Matrix output;                        // [C, A]
};

struct ChannelMixing7 {
  Vector x_k;    // [C]
  Matrix key;    // [F, C]
  Matrix value;  // [C, F]
};

using Weights7 = ModelWeights<TimeMixing7, ChannelMixing7>;

// Takes the weights of a model of version 7. Problems are in the reader's
// status.
Weights7 TakeWeights7(WeightReader& reader, const ModelConfig& config);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_RWKV7_WEIGHTS_H_
