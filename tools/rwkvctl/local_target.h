// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_LOCAL_TARGET_H_
#define RWKVD_TOOLS_RWKVCTL_LOCAL_TARGET_H_

#include "absl/strings/string_view.h"

namespace rwkvd {

// Whether gRPC's `target` is on this host: a Unix socket, or addresses and
// names that all lie on the loopback interface. No proxy can reach such a
// target. Resolves a name that is not "localhost", which may take as long as
// DNS does.
bool IsLocalTarget(absl::string_view target);

// Whether an environment variable names a proxy that gRPC would use.
bool HasProxySetting();

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_LOCAL_TARGET_H_
