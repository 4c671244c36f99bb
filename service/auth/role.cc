// SPDX-License-Identifier: Apache-2.0
#include "service/auth/role.h"

#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

Role RoleAt(int index) { return static_cast<Role>(1u << index); }

}  // namespace

absl::string_view NameOf(Role role) {
  switch (role) {
    case Role::kInfer:
      return "infer";
    case Role::kScore:
      return "score";
    case Role::kStates:
      return "states";
    case Role::kPins:
      return "pins";
    case Role::kAdmin:
      return "admin";
    case Role::kMetrics:
      return "metrics";
  }
  return "";
}

std::optional<Role> FindRole(absl::string_view name) {
  for (int i = 0; i < kNumRoles; ++i) {
    if (NameOf(RoleAt(i)) == name) return RoleAt(i);
  }
  return std::nullopt;
}

std::string NamesOf(RoleSet roles, absl::string_view separator) {
  std::string names;
  for (int i = 0; i < kNumRoles; ++i) {
    if ((roles & SetOf(RoleAt(i))) == 0) continue;
    absl::StrAppend(&names, names.empty() ? "" : separator, NameOf(RoleAt(i)));
  }
  return names;
}

}  // namespace rwkvd
