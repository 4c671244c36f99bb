// SPDX-License-Identifier: Apache-2.0
#include "service/options/auth_options.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, auth_tokens, "",
          "The file of those who may use the server: one line for each token, "
          "with an identity, the SHA-256 of the token, roles and quotas "
          "(docs/security.md); rwkvctl auth makes lines. It is read again when "
          "it changes and at SIGHUP. If empty, anyone may do anything.");

ABSL_FLAG(std::string, usage_log, "",
          "A file to which one JSON line is appended for each call that ends: "
          "who made it, its tokens and its status, but nothing of prompts and "
          "outputs. It is opened anew at SIGHUP, so that another program can "
          "rename it before. If empty, there is none.");

namespace rwkvd {

absl::Status ReadAuthFlags(AuthOptions* options) {
  options->auth_tokens = absl::GetFlag(FLAGS_auth_tokens);
  options->usage_log = absl::GetFlag(FLAGS_usage_log);
  return absl::OkStatus();
}

}  // namespace rwkvd
