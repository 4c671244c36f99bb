// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_REFLECTION_REFLECTION_ANSWER_H_
#define RWKVD_SERVICE_REFLECTION_REFLECTION_ANSWER_H_

#include <string>

#include "absl/types/span.h"
#include "grpc/reflection/v1/reflection.pb.h"

namespace rwkvd {

// Answers one request of gRPC's reflection protocol from the descriptors that
// are linked into the program. `services` are the names to list. A request for
// something unknown gets an error in the response, as the protocol wants.
//
// Thread-safe.
grpc::reflection::v1::ServerReflectionResponse AnswerReflection(
    const grpc::reflection::v1::ServerReflectionRequest& request,
    absl::Span<const std::string> services);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_REFLECTION_REFLECTION_ANSWER_H_
