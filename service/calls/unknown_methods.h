// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_UNKNOWN_METHODS_H_
#define RWKVD_SERVICE_CALLS_UNKNOWN_METHODS_H_

#include <grpcpp/generic/async_generic_service.h>

#include "service/auth/authorizer.h"

namespace rwkvd {

// Ends calls of methods that the server does not have with UNIMPLEMENTED and a
// reason, where gRPC itself would send neither a message nor details. It reads
// none of their messages. Calls without the credential that the server needs
// end with UNAUTHENTICATED, as those of all other methods, so that strangers do
// not learn which methods exist.
//
// Owned by the server, which destroys it after gRPC has shut down. Thread-safe.
class UnknownMethods final : public grpc::CallbackGenericService {
 public:
  // `authorizer` outlives this object.
  explicit UnknownMethods(Authorizer* authorizer) : authorizer_(authorizer) {}

 private:
  // Returns a reactor that owns itself.
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

  Authorizer* const authorizer_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_UNKNOWN_METHODS_H_
