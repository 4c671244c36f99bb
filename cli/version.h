// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_VERSION_H_
#define RWKVD_CLI_VERSION_H_

namespace rwkvd {

// As in CHANGELOG.md; told by --version, GetModel and rwkv_model_info.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace rwkvd

#endif  // RWKVD_CLI_VERSION_H_
