// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_AUTH_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_AUTH_OPTIONS_H_

#include <string>

#include "absl/status/status.h"

namespace rwkvd {

// Who may use the server. A value.
struct AuthOptions {
  std::string auth_tokens;  // empty: anyone may do anything
  std::string usage_log;    // empty: there is none
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadAuthFlags(AuthOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_AUTH_OPTIONS_H_
