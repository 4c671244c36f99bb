// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_IDENTITY_H_
#define RWKVD_SERVICE_AUTH_IDENTITY_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/auth/quotas.h"
#include "service/auth/role.h"

namespace rwkvd {

// Who calls the server, and what it may do. A value.
struct Identity {
  std::string name;   // at most kMaxNameBytes
  std::string group;  // whose members share states, pins and prefixes; or empty
  RoleSet roles = 0;
  Quotas quotas;

  // Whose states, pins and cached prefixes the identity uses: those of its
  // group, or its own. No name of a group equals one of an identity.
  std::string Partition() const {
    return group.empty() ? absl::StrCat("identity:", name)
                         : absl::StrCat("group:", group);
  }
};

// By what a client proves who it is. A value.
struct Credential {
  enum class Kind {
    kToken,       // value: the SHA-256 of the token, 64 lower-case digits
    kUri,         // value: a URI in the client's certificate
    kDns,         // value: a DNS name in the client's certificate
    kCommonName,  // value: the common name of the client's certificate
  };
  Kind kind = Kind::kToken;
  std::string value;

  friend bool operator==(const Credential&, const Credential&) = default;
  friend auto operator<=>(const Credential&, const Credential&) = default;
};

// An identity with its credentials. A value.
struct IdentityEntry {
  Identity identity;
  std::vector<Credential> credentials;  // at least one
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_IDENTITY_H_
