// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_ERROR_DETAILS_H_
#define RWKVD_CLI_ERROR_DETAILS_H_

#include <grpcpp/support/status.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/status.pb.h"

namespace rwkvd {

// The domain of the reasons in ErrorInfo.
inline constexpr char kErrorDomain[] = "rwkvd";

// The maximum size of the details of one error without its message. They share
// the 8 KiB of trailing metadata that gRPC accepts with the message, which they
// repeat.
inline constexpr size_t kMaxDetailsBytes = 1536;

// The details of `status`, which is not OK, for programs (core/base/error.h),
// as google.rpc messages: ErrorInfo always; BadRequest, RetryInfo, QuotaFailure
// and ResourceInfo if `status` has what they need. Text of clients is quoted
// and cut. `message` is that of the call's status, to which that of the result
// must be equal.
google::rpc::Status ErrorDetails(const absl::Status& status,
                                 absl::string_view message);

// The reason in the details of a status that a server has sent, such as
// "QUEUE_FULL". Empty if there is none.
std::string ReasonIn(const grpc::Status& status);

// `status` with one more value in the metadata of its ErrorInfo, if it has one.
grpc::Status WithErrorMetadata(const grpc::Status& status,
                               const std::string& key,
                               const std::string& value);

}  // namespace rwkvd

#endif  // RWKVD_CLI_ERROR_DETAILS_H_
