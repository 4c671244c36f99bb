// SPDX-License-Identifier: Apache-2.0
#include "service/listener/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include <string>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {
namespace {

class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(const TlsKeyStore* store) : store_(store) {
    const auto request_type =
        store->keys()->client_ca.empty()
            ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    // The second function destroys the options.
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            request_type, &Fetch, this));
    RWKVD_CHECK(credentials_ != nullptr);
  }
  ~TlsCredentials() override { grpc_server_credentials_release(credentials_); }

  // Not used: Authorizer looks at each call itself.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    RWKVD_CHECK(false);
  }

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // Gives gRPC the keys for the next handshake. gRPC calls it before each one,
  // under a lock.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto& credentials = *static_cast<TlsCredentials*>(self);
    std::shared_ptr<const TlsKeys> keys = credentials.store_->keys();
    if (keys == credentials.used_) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const grpc_ssl_pem_key_cert_pair pair = {keys->key.c_str(),
                                             keys->cert.c_str()};
    // gRPC insists on authorities, also if it asks for no certificate.
    const std::string& authorities =
        keys->client_ca.empty() ? keys->cert : keys->client_ca;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(),
                                                        &pair, 1);
    credentials.used_ = std::move(keys);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const TlsKeyStore* const store_;
  grpc_server_credentials* credentials_;
  // What gRPC uses. It is compared by address, so it stays alive.
  std::shared_ptr<const TlsKeys> used_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> NewTlsCredentials(
    const TlsKeyStore* store) {
  return std::make_shared<TlsCredentials>(store);
}

}  // namespace rwkvd
