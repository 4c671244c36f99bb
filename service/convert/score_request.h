// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SCORE_REQUEST_H_
#define RWKVD_SERVICE_CONVERT_SCORE_REQUEST_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/request.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/request_limits.h"

namespace rwkvd {

// Converts a Score message; `received` and `deadline` are not set. It checks
// what core's request cannot express: InvalidArgument, with the name of the
// field. The engine checks the values of the core request; see NameScoreField.
absl::StatusOr<ScoreRequest> FromProto(const ::rwkv::v1::ScoreRequest& proto,
                                       const RequestLimits& limits);

// Renames the field in an error of the engine as in the message from which its
// request was converted. `is_list`: the message has `items`.
absl::Status NameScoreField(const absl::Status& status, bool is_list);

// The tokens of one part of a document, which may be empty. InvalidArgument if
// they are too many to be scored together with the token before them; the
// engine checks their ids.
absl::StatusOr<std::vector<int32_t>> PartFromProto(
    const ::rwkv::v1::Input& part, const RequestLimits& limits);

// The same as NameScoreField, for a request that scores one part of a document.
absl::Status NamePartField(const absl::Status& status);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SCORE_REQUEST_H_
