// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_ANSWER_SIZE_H_
#define RWKVD_SERVICE_CONVERT_ANSWER_SIZE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "service/convert/generate_request.h"

namespace rwkvd {

// ResourceExhausted, with the name of the field, if the response to a Generate
// request could not be buffered in `max_bytes`, which are those of all
// responses together: the prompt that it echoes, the likeliest tokens that it
// lists, or a state of `state_bytes` that it returns. Such a request is refused
// before it is computed.
absl::Status CheckAnswerSize(const GenerateInput& input, int64_t state_bytes,
                             int64_t max_bytes);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_ANSWER_SIZE_H_
