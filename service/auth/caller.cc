// SPDX-License-Identifier: Apache-2.0
#include "service/auth/caller.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/monotonic_clock.h"

namespace rwkvd {

absl::Status Caller::Require(Role role, absl::string_view what) const {
  if (identity == nullptr || (identity->roles & SetOf(role)) != 0) {
    return absl::OkStatus();
  }
  return RoleMissing(*identity, SetOf(role), what);
}

absl::Status Caller::CheckGenerated() const {
  if (account == nullptr) return absl::OkStatus();
  return account->CheckGenerated(quotas(), MonotonicNow());
}

absl::Status Caller::TakeGenerated() const {
  if (account == nullptr || account->TakeGenerated()) return absl::OkStatus();
  return account->CheckDebt(MonotonicNow());
}

void Caller::ReturnPrompt(int64_t tokens) const {
  if (account != nullptr) account->ReturnPrompt(tokens, MonotonicNow());
}

void Caller::SetByteLimits(int64_t all_messages, int64_t all_unread) const {
  if (account == nullptr) return;
  account->SetByteLimits(quotas(), all_messages, all_unread);
}

ByteBudget* Caller::message_bytes() const {
  return account == nullptr ? nullptr : &account->message_bytes();
}

std::shared_ptr<ByteBudget> Caller::unread_bytes() const {
  if (account == nullptr) return nullptr;
  return {account, &account->unread_bytes()};
}

absl::Status Caller::TakePrompt(int64_t tokens) const {
  if (account == nullptr) return absl::OkStatus();
  return account->TakePrompt(tokens, quotas(), MonotonicNow());
}

const Quotas& Caller::quotas() const {
  static const Quotas* const none = new Quotas;
  return identity == nullptr ? *none : identity->quotas;
}

absl::Status RoleMissing(const Identity& identity, RoleSet roles,
                         absl::string_view what) {
  const std::string needed = NamesOf(roles, " or ");
  const absl::Status error = MakeError(
      ErrorReason::kRoleMissing,
      absl::StrCat(what, " needs ",
                   roles == 0 ? "a role that does not exist"
                              : absl::StrCat("the role ", needed),
                   ", which the identity ", identity.name, " does not have"));
  return WithMetadata(WithMetadata(error, "identity", identity.name), "role",
                      roles == 0 ? "none" : needed);
}

}  // namespace rwkvd
