// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SAMPLING_H_
#define RWKVD_SERVICE_CONVERT_SAMPLING_H_

#include "absl/status/statusor.h"
#include "core/sampling/params.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {

// The defaults of the message's preset, changed by the fields that are set. A
// message without a seed gets a random one. InvalidArgument for an unknown
// value of an enum; the engine checks the ranges.
absl::StatusOr<SamplingParams> FromProto(const ::rwkv::v1::Sampling& proto);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SAMPLING_H_
