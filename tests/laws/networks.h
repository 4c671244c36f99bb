// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LAWS_NETWORKS_H_
#define RWKVD_TESTS_LAWS_NETWORKS_H_

#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/quantize/weight_kind.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd {

// A version, with sizes that fill whole vectors or with sizes that leave a rest
// in every one.
struct Network {
  Architecture architecture;
  bool odd_sizes;
};

// Every version with both.
std::vector<Network> AllNetworks();

// Every version with odd sizes. Their vocabularies are kOddVocab tokens.
std::vector<Network> OddNetworks();
constexpr int32_t kOddVocab = 53;

// Every version with even sizes: all of their large matrices can be quantized,
// and their vocabularies are more than kOddVocab tokens, and no whole panels.
std::vector<Network> EvenNetworks();

// Random weights for it, always the same. `dtype` gives the type of each tensor
// by name.
testing::TestTensors MakeTensors(const Network& network,
                                 testing::DTypeOf dtype);
testing::TestTensors MakeTensors(const Network& network, DType dtype);

// How far single precision may lead logits away from the paper's equations, as
// a part of the largest logit (law 6).
//
// The weights are the same numbers on both sides, so what differs is rounding.
// Roundings of a sum of n terms add up like a random walk, to about sqrt(n) *
// 2^-24 of its size; layer normalization brings the stream back to size 1
// before each product in a row, whose errors at worst add; and n is at most the
// FFN's width, or a head's. A layer has four products in a row: the keys,
// values and decays (a LoRA's two factors run beside them), the output of the
// heads, and the two of channel mixing. A head's sum over the past is no more
// than one of them, for it decays and is brought to size 1 again.
double RelativeErrorBound(const ModelConfig& config);

// The same for quantized weights of the networks above. The oracle is given the
// numbers that these stand for, so what is added comes from x, which is
// quantized, too: each is off by at most half a step, max / 127 of its group,
// or, in two digits, max / 32512. A group's largest x is at most the root of
// its size times the mean square, so x is off by at most sqrt(64) half steps of
// its own size, and so is its product. ffn.value and weights of 4 bits take x
// in one digit.
double RelativeErrorBound(const ModelConfig& config, WeightKind kind);

// "rwkv50Odd"
std::string NameOf(const Network& network);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_LAWS_NETWORKS_H_
