// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_CALLER_H_
#define RWKVD_SERVICE_AUTH_CALLER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "service/auth/account.h"
#include "service/auth/identity.h"

namespace rwkvd {

// Who makes a call. A value.
struct Caller {
  // Null if the server does not know identities: then everything is allowed.
  std::shared_ptr<const Identity> identity;
  // Whose states, pins and cached prefixes the call uses; empty for those that
  // all unauthenticated clients share.
  std::string partition;
  std::shared_ptr<Account> account;  // of the identity; null if there is none

  // Takes the tokens of a prompt from the quota of the identity; see Account.
  absl::Status TakePrompt(int64_t tokens) const;

  // PermissionDenied, with the role, if the caller lacks `role`, which it needs
  // to use `what`.
  absl::Status Require(Role role, absl::string_view what) const;

  // The limits of the identity; none if there is no identity.
  const Quotas& quotas() const;

  // The name of the identity, or an empty string.
  absl::string_view name() const {
    return identity == nullptr ? absl::string_view() : identity->name;
  }
};

// PermissionDenied: the identity has none of `roles`, one of which is needed to
// use `what`. No role allows it if `roles` is empty.
absl::Status RoleMissing(const Identity& identity, RoleSet roles,
                         absl::string_view what);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_CALLER_H_
