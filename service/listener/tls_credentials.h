// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_TLS_CREDENTIALS_H_
#define RWKVD_SERVICE_LISTENER_TLS_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "service/listener/tls_keys.h"

namespace rwkvd {

// Credentials of a gRPC server that uses the keys that `store` has at the time
// of each handshake: TLS 1.2 or 1.3, with gRPC's list of ciphers, all of which
// have forward secrecy and authenticated encryption. If the keys have a
// client_ca, clients need a certificate that it has issued. The names in that
// certificate are in ServerContext::auth_context().
//
// `store` outlives the server.
std::shared_ptr<grpc::ServerCredentials> NewTlsCredentials(
    const TlsKeyStore* store);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_TLS_CREDENTIALS_H_
