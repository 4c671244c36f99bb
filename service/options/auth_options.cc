// SPDX-License-Identifier: Apache-2.0
#include "service/options/auth_options.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, auth_tokens, "",
          "The file of those who may use the server: one line for each token, "
          "with an identity, the SHA-256 of the token, roles and quotas "
          "(docs/security.md); rwkvctl auth makes lines. It is read again when "
          "it changes and at SIGHUP. If empty, anyone may do anything.");

namespace rwkvd {

absl::Status ReadAuthFlags(AuthOptions* options) {
  options->auth_tokens = absl::GetFlag(FLAGS_auth_tokens);
  return absl::OkStatus();
}

}  // namespace rwkvd
