// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_TOKEN_CREDENTIALS_H_
#define RWKVD_TOOLS_RWKVCTL_TOKEN_CREDENTIALS_H_

#include <grpcpp/support/client_interceptor.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace rwkvd {

// The most bytes of a file with a token.
inline constexpr size_t kMaxClientTokenBytes = 4096;

// The token in a file, without the white space around it. InvalidArgument with
// the file, but without its content, if it has no token or more than one word.
absl::StatusOr<std::string> ReadClientToken(const std::string& path);

// Interceptors of a channel that add "authorization: Bearer TOKEN" to the
// metadata of each call.
std::vector<
    std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
TokenInterceptors(const std::string& token);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_TOKEN_CREDENTIALS_H_
