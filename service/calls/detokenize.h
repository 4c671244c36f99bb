// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_DETOKENIZE_H_
#define RWKVD_SERVICE_CALLS_DETOKENIZE_H_

#include "absl/status/status.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/served_model.h"

namespace rwkvd {

// Answers a Detokenize call. InvalidArgument with the first id that is out of
// range.
absl::Status Detokenize(const ServedModel& model,
                        const ::rwkv::v1::DetokenizeRequest& request,
                        ::rwkv::v1::DetokenizeResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_DETOKENIZE_H_
