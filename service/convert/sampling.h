// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SAMPLING_H_
#define RWKVD_SERVICE_CONVERT_SAMPLING_H_

#include "absl/status/statusor.h"
#include "core/sampling/params.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// What the message says, over the defaults of its preset; with a seed drawn at
// random if it has none. Ranges are not checked yet: InvalidArgument only for a
// value of an enum that is not known.
absl::StatusOr<SamplingParams> FromProto(const ::rwkv::v1::Sampling& proto);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SAMPLING_H_
