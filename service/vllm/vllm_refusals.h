// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_REFUSALS_H_
#define RWKVD_SERVICE_VLLM_VLLM_REFUSALS_H_

#include "absl/status/status.h"
#include "vllm/vllm_engine.pb.h"

namespace rwkvd {

// Whether the request asks for the repetition penalty. Gateways send 0 or 1 if
// it does not.
bool HasRepetitionPenalty(const ::vllm::grpc::engine::SamplingParams& params);

// InvalidArgument, with the name of the field, if the request has a field that
// this server cannot honor: inputs other than tokens and text, transfers of KV
// caches, constraints, penalties that exclude one another, and fields that this
// server does not know.
absl::Status CheckSupported(
    const ::vllm::grpc::engine::GenerateRequest& request);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_REFUSALS_H_
