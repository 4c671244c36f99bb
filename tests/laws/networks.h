// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LAWS_NETWORKS_H_
#define RWKVD_TESTS_LAWS_NETWORKS_H_

#include <string>
#include <vector>

#include "core/model/config.h"
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

// Random weights for it, always the same. `dtype` gives the type of each tensor
// by name.
testing::TestTensors MakeTensors(const Network& network,
                                 testing::DTypeOf dtype);
testing::TestTensors MakeTensors(const Network& network, DType dtype);

// "rwkv50Odd"
std::string NameOf(const Network& network);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_LAWS_NETWORKS_H_
