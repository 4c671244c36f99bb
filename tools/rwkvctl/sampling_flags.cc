// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/sampling_flags.h"

#include <cstdint>
#include <optional>

#include "absl/flags/flag.h"

ABSL_FLAG(std::optional<float>, temperature, std::nullopt,
          "0 takes the likeliest token; 1, the default, leaves probabilities "
          "as they are.");
ABSL_FLAG(std::optional<int32_t>, top_k, std::nullopt,
          "Draw from the k likeliest tokens only; 0 for all.");
ABSL_FLAG(std::optional<float>, top_p, std::nullopt,
          "Draw from the likeliest tokens that together have this "
          "probability.");
ABSL_FLAG(std::optional<float>, presence_penalty, std::nullopt,
          "Taken once from the logit of each token already generated.");
ABSL_FLAG(std::optional<float>, frequency_penalty, std::nullopt,
          "Taken from it once for each time it was generated.");
ABSL_FLAG(std::optional<float>, penalty_decay, std::nullopt,
          "Multiplies those counts at every step.");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "The same seed gives the same answer; drawn at random if absent.");
namespace rwkvd {

namespace v1 = ::rwkv::v1;

void SetSampling(v1::Sampling* sampling) {
  if (auto v = absl::GetFlag(FLAGS_temperature)) sampling->set_temperature(*v);
  if (auto v = absl::GetFlag(FLAGS_top_k)) sampling->set_top_k(*v);
  if (auto v = absl::GetFlag(FLAGS_top_p)) sampling->set_top_p(*v);
  if (auto v = absl::GetFlag(FLAGS_presence_penalty)) {
    sampling->set_presence_penalty(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_frequency_penalty)) {
    sampling->set_frequency_penalty(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_penalty_decay)) {
    sampling->set_penalty_decay(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_seed)) sampling->set_seed(*v);
}

}  // namespace rwkvd
