// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_BUILD_INFO_H_
#define RWKVD_SERVICE_BUILD_INFO_H_

#include <string>

namespace rwkvd {

// What `rwkvd --version` prints, in lines: the version, the commit that it was
// built from, and the versions of the libraries that are loaded.
std::string BuildInfo();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_BUILD_INFO_H_
