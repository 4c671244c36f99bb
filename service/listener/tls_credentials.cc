// SPDX-License-Identifier: Apache-2.0
#include "service/listener/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace rwkvd {
namespace {

using StringRefs = std::vector<grpc::string_ref>;

StringRefs ValuesOf(grpc_auth_property_iterator iterator) {
  StringRefs values;
  while (const grpc_auth_property* const property =
             grpc_auth_property_iterator_next(&iterator)) {
    values.emplace_back(property->value, property->value_length);
  }
  return values;
}

// What is known about the peer of a connection, for an AuthMetadataProcessor.
// gRPC's own class of this kind is not part of its interface.
class PeerContext final : public grpc::AuthContext {
 public:
  explicit PeerContext(grpc_auth_context* context) : context_(context) {}

  bool IsPeerAuthenticated() const override {
    return grpc_auth_context_peer_is_authenticated(context_) != 0;
  }
  StringRefs GetPeerIdentity() const override {
    return ValuesOf(grpc_auth_context_peer_identity(context_));
  }
  std::string GetPeerIdentityPropertyName() const override {
    const char* const name =
        grpc_auth_context_peer_identity_property_name(context_);
    return name == nullptr ? "" : name;
  }
  StringRefs FindPropertyValues(const std::string& name) const override {
    return ValuesOf(
        grpc_auth_context_find_properties_by_name(context_, name.c_str()));
  }
  grpc::AuthPropertyIterator begin() const override {
    grpc_auth_property_iterator iterator =
        grpc_auth_context_property_iterator(context_);
    const grpc_auth_property* const first =
        grpc_auth_property_iterator_next(&iterator);
    return first == nullptr ? end() : Iterator(first, &iterator);
  }
  grpc::AuthPropertyIterator end() const override { return Iterator(); }
  void AddProperty(const std::string& key,
                   const grpc::string_ref& value) override {
    grpc_auth_context_add_property(context_, key.c_str(), value.data(),
                                   value.size());
  }
  bool SetPeerIdentityPropertyName(const std::string& name) override {
    return grpc_auth_context_set_peer_identity_property_name(context_,
                                                             name.c_str()) != 0;
  }

 private:
  struct Iterator : grpc::AuthPropertyIterator {
    Iterator() = default;
    Iterator(const grpc_auth_property* property,
             const grpc_auth_property_iterator* iterator)
        : AuthPropertyIterator(property, iterator) {}
  };

  grpc_auth_context* const context_;
};

grpc::string_ref RefOf(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
          GRPC_SLICE_LENGTH(slice)};
}

using Processor = std::shared_ptr<grpc::AuthMetadataProcessor>;

// Runs the processor `state` for one call.
void Process(void* state, grpc_auth_context* context,
             const grpc_metadata* metadata, size_t num_metadata,
             grpc_process_auth_metadata_done_cb done, void* user_data) {
  grpc::AuthMetadataProcessor::InputMetadata input;
  for (size_t i = 0; i < num_metadata; ++i) {
    input.emplace(RefOf(metadata[i].key), RefOf(metadata[i].value));
  }
  PeerContext peer(context);
  grpc::AuthMetadataProcessor::OutputMetadata consumed, response;
  const grpc::Status status = (*static_cast<Processor*>(state))
                                  ->Process(input, &peer, &consumed, &response);
  std::vector<grpc_metadata> removed(consumed.size());
  size_t i = 0;
  for (const auto& [key, value] : consumed) {
    removed[i].key = grpc_slice_from_copied_buffer(key.data(), key.size());
    removed[i++].value =
        grpc_slice_from_copied_buffer(value.data(), value.size());
  }
  done(user_data, removed.data(), removed.size(), nullptr, 0,
       static_cast<grpc_status_code>(status.error_code()),
       status.error_message().c_str());
  for (const grpc_metadata& entry : removed) {
    grpc_slice_unref(entry.key);
    grpc_slice_unref(entry.value);
  }
}

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

  // gRPC runs `processor` for each call, on the thread that has received it.
  void SetAuthMetadataProcessor(const Processor& processor) override {
    RWKVD_CHECK(!processor->IsBlocking());
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_,
        {.process = &Process,
         .destroy = [](void* state) { delete static_cast<Processor*>(state); },
         .state = new Processor(processor)});
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
