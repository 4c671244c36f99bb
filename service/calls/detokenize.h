// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_DETOKENIZE_H_
#define RWKVD_SERVICE_CALLS_DETOKENIZE_H_

#include "absl/status/status.h"
#include "core/base/byte_budget.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/served_model.h"

namespace rwkvd {

// Answers a Detokenize call, and reserves in `memory` what that takes.
// InvalidArgument with the first id that is out of range, if the answer is
// larger than clients accept by default, or if the model has no tokenizer; the
// errors of ReserveMore.
absl::Status Detokenize(const ServedModel& model,
                        const ::rwkv::v1::DetokenizeRequest& request,
                        ByteBudget::Reservation* memory,
                        ::rwkv::v1::DetokenizeResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_DETOKENIZE_H_
