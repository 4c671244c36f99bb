// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_CALLER_H_
#define RWKVD_SERVICE_AUTH_CALLER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/byte_budget.h"
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

  // Tokens and the quotas of the identity; see Account. Nothing happens if
  // there is no account.
  absl::Status CheckGenerated() const;
  absl::Status TakePrompt(int64_t tokens) const;
  void ReturnPrompt(int64_t tokens) const;
  // Takes a token that has been generated. ResourceExhausted if the call must
  // end; see Account::CheckDebt.
  absl::Status TakeGenerated() const;

  // The shares of the account in the budgets of all calls; null if there is
  // none.
  void SetByteLimits(int64_t all_messages, int64_t all_unread) const;
  ByteBudget* message_bytes() const;
  std::shared_ptr<ByteBudget> unread_bytes() const;

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
