// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_IDENTITY_TABLE_H_
#define RWKVD_SERVICE_AUTH_IDENTITY_TABLE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "service/auth/identity.h"

namespace rwkvd {

// Longer tokens are wrong, and are not hashed.
inline constexpr size_t kMaxTokenBytes = 256;

// What the verified certificate of a client says about it. Views the
// connection's data. A value.
struct CertificateNames {
  std::vector<absl::string_view> uris;
  std::vector<absl::string_view> dns;
  std::vector<absl::string_view> common_names;
};

// The identities of one token file, by their credentials. Immutable.
class IdentityTable {
 public:
  // The entries of ParseTokenFile.
  explicit IdentityTable(const std::vector<IdentityEntry>& entries);

  // The identity with this token; null if there is none. How long it takes says
  // nothing about the tokens of the table: it compares digests in constant
  // time, and which digests it compares depends on that of `token` alone.
  std::shared_ptr<const Identity> FindByToken(absl::string_view token) const;

  // The identity of the first name that one has: URIs first, then DNS names,
  // then common names. Null if there is none.
  std::shared_ptr<const Identity> FindByCertificate(
      const CertificateNames& names) const;

  absl::Span<const std::shared_ptr<const Identity>> identities() const {
    return identities_;
  }

 private:
  struct Token {
    std::string digest;
    std::shared_ptr<const Identity> identity;
  };

  std::vector<std::shared_ptr<const Identity>> identities_;
  // By the first digits of the digest.
  absl::flat_hash_map<std::string, std::vector<Token>> tokens_;
  std::map<Credential, std::shared_ptr<const Identity>> certificates_;
};

// The SHA-256 of a token, 64 lower-case hexadecimal digits.
std::string DigestOf(absl::string_view token);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_IDENTITY_TABLE_H_
