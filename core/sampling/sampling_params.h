// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_SAMPLING_PARAMS_H_
#define RWKVD_CORE_SAMPLING_SAMPLING_PARAMS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace rwkvd {

// How the next token is drawn. Applied in the order of RWKV's own code:
// penalties, softmax, top-p, top-k, temperature, draw. A value.
struct SamplingParams {
  // 0 takes the likeliest token; 1 leaves the model's probabilities as they
  // are. Probabilities are raised to 1/temperature. [0, 100].
  float temperature = 1.0f;
  // Only the k likeliest tokens; 0 for all. >= 0.
  int32_t top_k = 0;
  // Only the likeliest tokens whose probabilities first sum to top_p or more
  // (tokens as likely as the last of them stay too); 1 for all. (0, 1].
  float top_p = 1.0f;
  // Taken once from the logit of each token generated before. [-100, 100].
  float presence_penalty = 0.0f;
  // Taken from it for each time it was generated. [-100, 100].
  float frequency_penalty = 0.0f;
  // Each step multiplies the counts of earlier tokens by this. [0, 1].
  float penalty_decay = 1.0f;
  // The same seed, model and request give the same tokens.
  uint64_t seed = 0;
};

// InvalidArgument naming the field, its value and its range. NaN is in none.
absl::Status Validate(const SamplingParams& params);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_SAMPLING_PARAMS_H_
