// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LOAD_LOAD_REQUESTS_H_
#define RWKVD_TESTS_LOAD_LOAD_REQUESTS_H_

#include <cstdint>
#include <random>
#include <vector>

#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd::testing {

// `count` requests of many kinds, the same for the same seed: prompts with and
// without common prefixes, short and long; answers of up to 120 tokens, greedy
// and sampled, with penalties, stop strings and log-probabilities.
std::vector<::rwkv::v1::GenerateRequest> LoadRequests(
    const ::rwkv::v1::GetModelResponse& model, int count, uint64_t seed);

// What a client does with a request.
struct Behavior {
  enum class Kind {
    kPlain,     // reads the answer as it arrives
    kSlow,      // pauses between messages
    kCancel,    // cancels after `amount` messages
    kDeadline,  // has a deadline of `amount` milliseconds
    kCut,       // loses its connection after `amount` bytes
    kRefused,   // is refused or ended early by a server without resources
  };

  Kind kind = Kind::kPlain;
  int64_t amount = 0;
  bool reset = false;  // with kCut: the connection is reset, not closed
};

// "plain", "slow", ...
const char* NameOf(Behavior::Kind kind);

// A random behavior: of twenty, eight are plain, and three each of the others.
Behavior RandomBehavior(std::mt19937_64& random);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_LOAD_LOAD_REQUESTS_H_
