// SPDX-License-Identifier: Apache-2.0
#include "core/sampling/sampling_params.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

absl::Status OutOfRange(absl::string_view field, double value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("sampling.", field, ": ", value, " is not in ", range));
}

// False for NaN.
bool IsWithin(float value, float lowest, float highest) {
  return value >= lowest && value <= highest;
}

}  // namespace

absl::Status Validate(const SamplingParams& params) {
  if (!IsWithin(params.temperature, 0, 100)) {
    return OutOfRange("temperature", params.temperature, "[0, 100]");
  }
  if (params.top_k < 0) {
    return OutOfRange("top_k", params.top_k, "[0, 2147483647]");
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return OutOfRange("top_p", params.top_p, "(0, 1]");
  }
  if (!IsWithin(params.presence_penalty, -100, 100)) {
    return OutOfRange("presence_penalty", params.presence_penalty,
                      "[-100, 100]");
  }
  if (!IsWithin(params.frequency_penalty, -100, 100)) {
    return OutOfRange("frequency_penalty", params.frequency_penalty,
                      "[-100, 100]");
  }
  if (!IsWithin(params.penalty_decay, 0, 1)) {
    return OutOfRange("penalty_decay", params.penalty_decay, "[0, 1]");
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
