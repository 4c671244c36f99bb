// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SCORE_SIZE_H_
#define RWKVD_SERVICE_CONVERT_SCORE_SIZE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/engine/request.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// Bytes on the wire that the answer to `request` has at most, by item or as
// one list, with the scores of its tokens or without. `request` is valid.
int64_t MaxScoreResponseBytes(const ScoreRequest& request, bool by_item,
                              bool with_tokens);

// InvalidArgument if the answer to `request`, which was made of `proto`, could
// be larger than its client takes.
absl::Status CheckScoreResponseSize(const ::rwkv::v1::ScoreRequest& proto,
                                    const ScoreRequest& request);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SCORE_SIZE_H_
