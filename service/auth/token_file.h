// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_TOKEN_FILE_H_
#define RWKVD_SERVICE_AUTH_TOKEN_FILE_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/auth/identity.h"

namespace rwkvd {

// Limits of a token file.
inline constexpr size_t kMaxTokenFileBytes = 1 << 20;
inline constexpr size_t kMaxTokenLineBytes = 1024;
inline constexpr size_t kMaxIdentities = 1000;
inline constexpr size_t kMaxCredentialsPerIdentity = 8;
inline constexpr size_t kMaxNameBytes = 63;         // of identities and groups
inline constexpr size_t kMaxCertificateName = 256;  // bytes

// Parses a token file, docs/security.md describes it: one credential per line,
//
//   NAME CREDENTIAL roles=ROLE,... [SETTING=VALUE ...]
//   NAME CREDENTIAL                 (a further credential of NAME)
//
// Empty lines and lines that begin with "#" are ignored. Anything else that is
// not of this form is refused: InvalidArgument with `path`, the line, what is
// wrong there, what was expected, and what was found. The message shows no
// value that may be a token that somebody has put into the wrong place.
absl::StatusOr<std::vector<IdentityEntry>> ParseTokenFile(
    absl::string_view text, absl::string_view path);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_TOKEN_FILE_H_
