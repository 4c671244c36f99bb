// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_TOKENIZE_H_
#define RWKVD_SERVICE_CALLS_TOKENIZE_H_

#include "absl/status/status.h"
#include "core/base/byte_budget.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/served_model.h"

namespace rwkvd {

// Answers a Tokenize call, and reserves in `memory` what that takes. Returns
// the errors of Tokenizer::Encode, RenderFromProto and ReserveMore, and
// InvalidArgument if the answer may be larger than clients accept by default,
// with the name of the field.
absl::Status Tokenize(const ServedModel& model,
                      const ::rwkv::v1::TokenizeRequest& request,
                      ByteBudget::Reservation* memory,
                      ::rwkv::v1::TokenizeResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_TOKENIZE_H_
