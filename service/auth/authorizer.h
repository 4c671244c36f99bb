// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_AUTHORIZER_H_
#define RWKVD_SERVICE_AUTH_AUTHORIZER_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/auth/account.h"
#include "service/auth/caller.h"
#include "service/auth/identity_source.h"
#include "service/log.h"

namespace rwkvd {

// Decides who makes a call, and whether it may: the one place through which all
// calls of all services go before anything is done for them, except those of
// methods that are open (see MethodPolicy).
//
// A client proves who it is by a token in the metadata ("authorization: Bearer
// TOKEN") or by the certificate of its connection, which gRPC has verified. A
// call with both is that of the token's identity. The identity is never kept
// for later calls of the connection.
//
// Without a token file, everything is allowed, and each verified certificate
// has a partition of its own.
//
// Owned by the server; outlives the calls. Thread-safe, after Open.
class Authorizer {
 public:
  // Calls that were refused.
  struct Refusals {
    int64_t missing = 0;  // without a credential
    int64_t unknown = 0;  // with a credential that nobody has
    int64_t role = 0;     // of an identity that may not make them
  };

  Authorizer() = default;
  Authorizer(const Authorizer&) = delete;
  Authorizer& operator=(const Authorizer&) = delete;

  // Reads the token file, and follows its changes. Errors are those of
  // IdentitySource. Called before any call is authorized, if at all.
  absl::Status Open(const std::string& token_file);

  // The caller of `method`, "PACKAGE.SERVICE/METHOD". Unauthenticated without a
  // valid credential, PermissionDenied without a role that the method needs.
  absl::StatusOr<Caller> Authorize(const grpc::ServerContextBase& context,
                                   absl::string_view method);

  // Unauthenticated without a valid credential; otherwise OK, also without a
  // token file. For calls of methods that the server does not have.
  absl::Status CheckCredential(const grpc::ServerContextBase& context,
                               absl::string_view method);

  // Reads the token file again, soon. Returns false if there is none.
  bool ReloadSoon();

  // Null without a token file.
  const IdentitySource* source() const { return source_.get(); }
  Refusals refusals() const;
  // What each identity has used, by name.
  std::vector<std::pair<std::string, Account::Usage>> Usages();

 private:
  absl::StatusOr<std::shared_ptr<const Identity>> Authenticate(
      const grpc::ServerContextBase& context) const;
  // Counts and logs a refusal, and returns it.
  absl::Status Refuse(absl::Status status, const std::string& peer,
                      absl::string_view method);

  std::unique_ptr<IdentitySource> source_;
  Accounts accounts_;
  std::atomic<int64_t> num_missing_{0};
  std::atomic<int64_t> num_unknown_{0};
  std::atomic<int64_t> num_without_role_{0};
  LimitedLog log_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_AUTHORIZER_H_
