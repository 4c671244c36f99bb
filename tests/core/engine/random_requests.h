// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_ENGINE_RANDOM_REQUESTS_H_
#define RWKVD_TESTS_CORE_ENGINE_RANDOM_REQUESTS_H_

#include <cstdint>
#include <random>
#include <variant>
#include <vector>

#include "core/engine/request.h"

namespace rwkvd {

// Random requests with all options, for a FakeModel of kVocabSize tokens. Not
// thread-safe, because generators of random numbers are not.

using Tokens = std::vector<int32_t>;
using Request = std::variant<GenerateRequest, ScoreRequest>;

inline constexpr int64_t kVocabSize = 24;

// The tokens of the initial states. Prompts may begin as one of them ends.
inline const std::vector<Tokens> kInitialTokens = {{}, {7, 3}, {5}, {5, 5, 5}};

Tokens RandomTokens(std::mt19937& random, int64_t size);
GenerateRequest RandomGenerate(std::mt19937& random);
ScoreRequest RandomScore(std::mt19937& random);
std::vector<Request> RandomRequests(std::mt19937& random, int n);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_CORE_ENGINE_RANDOM_REQUESTS_H_
