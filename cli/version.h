// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_VERSION_H_
#define RWKVD_CLI_VERSION_H_

namespace rwkvd {

// The version of this source code, reported by --version, GetModel and the
// metric rwkv_model_info. tools/check_version.sh compares CHANGELOG.md and
// deploy/ with it.
inline constexpr char kVersion[] = "0.2.0";

}  // namespace rwkvd

#endif  // RWKVD_CLI_VERSION_H_
