// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TOKEN_CHOICE_H_
#define RWKVD_CORE_SAMPLING_TOKEN_CHOICE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/sampling/sampling_params.h"

namespace rwkvd {

// What a request says of single tokens. Ids are within the logits.

// Adds each bias to its token's logit; those of one token add up.
void AddBias(absl::Span<const LogitBias> biases, absl::Span<float> logits);

// Lets none of `ids` be drawn.
void Ban(absl::Span<const int32_t> ids, absl::Span<float> logits);

// Sets `logits` to those of `row`, of the same size, that belong to `ids`; lets
// no other be drawn.
void CopyOnly(absl::Span<const int32_t> ids, absl::Span<const float> row,
              absl::Span<float> logits);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TOKEN_CHOICE_H_
