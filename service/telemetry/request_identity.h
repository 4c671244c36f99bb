// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_REQUEST_IDENTITY_H_
#define RWKVD_SERVICE_TELEMETRY_REQUEST_IDENTITY_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "service/telemetry/trace_context.h"

namespace rwkvd {

// Metadata of requests and, as the names of the same things, of responses.
inline constexpr char kRequestIdKey[] = "x-request-id";
inline constexpr char kTraceparentKey[] = "traceparent";
inline constexpr char kTraceStateKey[] = "tracestate";

// The maximum size of a request id.
inline constexpr size_t kMaxRequestIdBytes = 128;

// What names one call in the log, in errors, in traces and in the initial
// metadata of its response. A value.
struct RequestIdentity {
  std::string request_id;  // 1 to kMaxRequestIdBytes printable ASCII characters
  TraceContext trace;
};

// Whether a client may choose `id`: it is not empty, not too long, and consists
// of printable ASCII characters without spaces.
bool IsRequestId(absl::string_view id);

// The identity that the client has given in its metadata. What is absent, is
// malformed, or is there more than once, is made anew; a trace that begins here
// is sampled if `sample_new`.
RequestIdentity IdentityOf(const grpc::ServerContextBase& context,
                           bool sample_new);

// Adds the identity to the initial metadata of the response, which must not
// have been sent yet.
void ReturnIdentity(const RequestIdentity& identity,
                    grpc::ServerContextBase* context);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_REQUEST_IDENTITY_H_
