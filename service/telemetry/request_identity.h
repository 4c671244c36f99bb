// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_REQUEST_IDENTITY_H_
#define RWKVD_SERVICE_TELEMETRY_REQUEST_IDENTITY_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "service/telemetry/trace_context.h"

namespace rwkvd {

// Metadata of requests and, as the names of the same things, of responses.
inline constexpr char kRequestIdKey[] = "x-request-id";
inline constexpr char kTraceparentKey[] = "traceparent";
inline constexpr char kTraceStateKey[] = "tracestate";

// The key of the request id in the metadata of ErrorInfo.
inline constexpr char kErrorRequestIdKey[] = "request_id";

// The maximum size of a request id.
inline constexpr size_t kMaxRequestIdBytes = 128;

// What names one call in the log, in errors, in traces and in the metadata of
// its response. A value.
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

// Adds the identity to the trailing metadata, for a call that ends with an
// error that clients repeat, and has sent nothing. With initial metadata,
// gRPC's clients would take that for the beginning of a response, and not
// repeat it.
void ReturnIdentityAtEnd(const RequestIdentity& identity,
                         grpc::ServerContextBase* context);

// The identity of a call of which nothing is recorded, such as a health check:
// returns it to the client and names it in errors.
//
// Owned by the call; used by one thread at a time.
class IdentifiedCall {
 public:
  // Takes the identity from `context`, which outlives this, and returns it in
  // the initial metadata, which must not have been sent yet.
  explicit IdentifiedCall(grpc::ServerContextBase* context);

  // The status of the call for gRPC; see EndStatus. The details of an error
  // contain the request id. Called once.
  grpc::Status End(const absl::Status& status) const;

 private:
  grpc::ServerContextBase* const context_;
  const RequestIdentity identity_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_REQUEST_IDENTITY_H_
