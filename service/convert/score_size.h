// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SCORE_SIZE_H_
#define RWKVD_SERVICE_CONVERT_SCORE_SIZE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/engine/request.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/token_texts.h"

namespace rwkvd {

// The maximum size of the response to `request` on the wire, in bytes: with the
// scores grouped by item or in one list, with or without those of each token,
// which have `texts`.
int64_t MaxScoreResponseBytes(const ScoreRequest& request, bool by_item,
                              bool with_tokens, TokenTexts texts = {});

// InvalidArgument if the response to `request`, which was converted from
// `proto`, could be larger than the client accepts.
absl::Status CheckScoreResponseSize(const ::rwkv::v1::ScoreRequest& proto,
                                    const ScoreRequest& request,
                                    TokenTexts texts = {});

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SCORE_SIZE_H_
