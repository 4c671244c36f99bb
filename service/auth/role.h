// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_ROLE_H_
#define RWKVD_SERVICE_AUTH_ROLE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// What an identity may do. docs/security.md lists the methods of each role.
enum class Role : uint32_t {
  kInfer = 1 << 0,
  kScore = 1 << 1,
  kStates = 1 << 2,
  kPins = 1 << 3,
  kAdmin = 1 << 4,
  kMetrics = 1 << 5,
};

inline constexpr int kNumRoles = 6;

// A set of roles: their values, combined by "or".
using RoleSet = uint32_t;

inline constexpr RoleSet kAllRoles = (1 << kNumRoles) - 1;

constexpr RoleSet SetOf(Role role) { return static_cast<RoleSet>(role); }
constexpr RoleSet operator|(Role a, Role b) { return SetOf(a) | SetOf(b); }
constexpr RoleSet operator|(RoleSet a, Role b) { return a | SetOf(b); }

// "infer", "score", "states", "pins", "admin" or "metrics".
absl::string_view NameOf(Role role);

// The role of this name, if there is one.
std::optional<Role> FindRole(absl::string_view name);

// The names of the roles in the set, separated by `separator`.
std::string NamesOf(RoleSet roles, absl::string_view separator);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_ROLE_H_
