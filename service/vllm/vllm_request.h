// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_REQUEST_H_
#define RWKVD_SERVICE_VLLM_VLLM_REQUEST_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/convert/generate_request.h"
#include "service/convert/request_limits.h"
#include "vllm/vllm_engine.pb.h"

namespace rwkvd {

// The default of max_tokens, unless the server allows less.
inline constexpr int64_t kDefaultVllmMaxTokens = 16384;

// Converts a Generate message of vllm.grpc.engine. InvalidArgument, with the
// name of the field, for fields that cannot be honored, which are not ignored,
// and for values that the core request cannot express. The engine checks the
// rest; see NameVllmField. The text of `proto` is moved out.
absl::StatusOr<GenerateInput> FromVllm(
    ::vllm::grpc::engine::GenerateRequest* proto, const RequestLimits& limits);

// InvalidArgument if the message for a sample of a request without `stream`
// could be larger than clients accept by default, or all of them could take
// more than `max_memory` bytes until they are sent. `holds_tokens`: whether
// VllmMessages holds tokens that may belong to a hidden stop.
absl::Status CheckVllmAnswer(const GenerateInput& input, bool holds_tokens,
                             int64_t max_memory);

// Renames the field in an error of the engine to its name on the wire.
absl::Status NameVllmField(const absl::Status& status);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_REQUEST_H_
