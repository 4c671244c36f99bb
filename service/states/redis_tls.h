// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_REDIS_TLS_H_
#define RWKVD_SERVICE_STATES_REDIS_TLS_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "service/states/redis_options.h"

namespace rwkvd {

struct FreeSslContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSslContext>;

// The settings of TLS for this store, from its files: TLS 1.2 or newer, and a
// server whose certificate is verified. InvalidArgument with the flag of a file
// that cannot be used.
absl::StatusOr<SslContext> NewSslContext(const RedisOptions& options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_REDIS_TLS_H_
