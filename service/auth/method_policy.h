// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_METHOD_POLICY_H_
#define RWKVD_SERVICE_AUTH_METHOD_POLICY_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "service/auth/role.h"

namespace rwkvd {

// Who may call a method.
enum class Access {
  kOpen,      // anyone, without a credential
  kIdentity,  // each identity
  kRole,      // identities with one of some roles
};

// Who may call one method, if the server knows identities. A constant.
struct MethodPolicy {
  absl::string_view method;  // "PACKAGE.SERVICE/METHOD"
  Access access = Access::kRole;
  RoleSet roles = 0;  // one of them is enough
};

// The policies of all methods of all services; docs/security.md lists them in
// the same order. A method that is not among them is refused, so that a new
// service is closed until somebody decides who may use it.
absl::Span<const MethodPolicy> AllMethodPolicies();

// The policy of the method; null if it is not in the table.
const MethodPolicy* FindMethodPolicy(absl::string_view method);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_METHOD_POLICY_H_
